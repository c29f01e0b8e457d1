//! [`Received`]: the fields of a request, as they came, and as a map once somebody
//! looks at them. Most answers depend on none, and making the map would be a
//! quarter of what they cost.

use std::cell::OnceCell;
use std::ops::Range;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use hythe_wire::http::Fields;

#[derive(Default)]
pub(super) struct Received {
    head: Bytes,
    /// Where in the head each name and each value stands.
    fields: Vec<(Range<u32>, Range<u32>)>,
    map: OnceCell<HeaderMap>,
}

impl Received {
    /// The fields of a head that was parsed, and of which `shared` is a copy of what
    /// it was parsed from, `bytes`.
    pub(super) fn of(fields: Fields<'_, '_>, bytes: &[u8], shared: &Bytes) -> Self {
        let short = |range: Range<usize>| range.start as u32..range.end as u32;
        let fields = fields.iter().map(|(name, value)| {
            let name = within(name.as_bytes(), bytes);
            // Heads are shorter than four gigabytes by far.
            (short(name), short(within(value, bytes)))
        });
        Self {
            head: shared.clone(),
            fields: fields.collect(),
            map: OnceCell::new(),
        }
    }

    pub(super) fn map(&self) -> &HeaderMap {
        self.map.get_or_init(|| {
            let mut map = HeaderMap::with_capacity(self.fields.len());
            let part =
                |range: &Range<u32>| self.head.slice(range.start as usize..range.end as usize);
            for (name, value) in &self.fields {
                // Parsing has let nothing through that is not legal here.
                let name = HeaderName::from_bytes(&part(name));
                let value = HeaderValue::from_maybe_shared(part(value));
                if let (Ok(name), Ok(value)) = (name, value) {
                    map.append(name, value);
                }
            }
            map
        })
    }

    pub(super) fn map_mut(&mut self) -> &mut HeaderMap {
        self.map();
        // It is there now.
        self.map.get_mut().expect("it was made in the line above")
    }
}

/// Where in `whole` a piece of it is.
pub(super) fn within(piece: &[u8], whole: &[u8]) -> Range<usize> {
    if piece.is_empty() {
        return 0..0;
    }
    let begin = piece.as_ptr().addr() - whole.as_ptr().addr();
    begin..begin + piece.len()
}
