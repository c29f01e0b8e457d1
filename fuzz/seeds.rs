//! Writes the messages of the codec tests into the corpora of the fuzz targets.

use std::{fs, io, path::Path};

#[path = "../wire/tests/tables/mod.rs"]
mod tables;

fn main() -> io::Result<()> {
    let bodies: Vec<_> = tables::CHUNKED.iter().map(|(sent, _)| *sent).collect();
    let forms: Vec<_> = tables::FORMS.iter().map(|(sent, _)| *sent).collect();
    let answers: Vec<_> = tables::FASTCGI.iter().map(|(sent, ..)| *sent).collect();
    let transfers: Vec<_> = tables::TRANSFERS.iter().map(|(sent, _)| *sent).collect();
    let gopher = [tables::GOPHER_REQUESTS, tables::MENU_LINES].concat();
    // The targets read a number first: where to cut, or a size.
    for (target, number_size, messages) in [
        ("http_request", 8, tables::REQUESTS),
        ("http_response", 8, tables::RESPONSES),
        ("http_chunked", 1, &bodies),
        ("http_multipart", 1, &forms),
        ("http_range", 8, tables::RANGES),
        ("http_tus", 0, tables::UPLOADS),
        ("http_cgi", 8, tables::SCRIPT_HEADS),
        ("fastcgi", 1, &answers),
        ("ftp_command", 1, tables::COMMANDS),
        ("ftp_reply", 8, tables::REPLIES),
        ("ftp_listing", 8, tables::LISTINGS),
        ("gopher", 1, &gopher),
        ("frame", 1, tables::FRAMES),
        ("transfer", 1, &transfers),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        fs::create_dir_all(&folder)?;
        for (number, message) in messages.iter().enumerate() {
            let seed = [&[0; 8][..number_size], message].concat();
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
