//! What is written down of an upload, beside its bytes.

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

use super::{Existing, Modified, Notes, RelPath, Role};
use crate::share::Visitor;

/// The version of this format. Another one is not understood, and its upload is
/// left alone until it expires.
const FORMAT: u32 = 1;

/// An upload, as JSON has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Info {
    format: u32,
    /// Whose it is; `None` for a stranger's.
    pub(super) owner: Option<String>,
    /// The folder of the share that was the root for the owner; base64, as
    /// names need not be text.
    home: String,
    /// Where it will be, below `home`; base64.
    target: String,
    /// How long it will be, once that is known.
    pub(super) length: Option<u64>,
    /// Whether it may take the place of another file.
    replace: bool,
    /// The time of modification it shall have: seconds and nanoseconds.
    modified: Option<(i64, u32)>,
    /// When it was begun, in seconds since 1970.
    pub(super) created: i64,
    pub(super) role: Role,
    /// What the client said of it, to be told again as it was.
    pub(super) metadata: Option<String>,
    /// What it has to do with others, in the client's words.
    pub(super) concat: Option<String>,
}

impl Info {
    #[expect(clippy::too_many_arguments, reason = "each is a field")]
    pub(super) fn new(
        visitor: &Visitor,
        home: &RelPath,
        target: &RelPath,
        length: Option<u64>,
        existing: Existing,
        modified: Option<Modified>,
        created: i64,
        role: Role,
    ) -> Self {
        let text = |path: &RelPath| Base64::encode_string(path.as_bytes());
        Self {
            format: FORMAT,
            owner: visitor.account.as_deref().map(str::to_owned),
            home: text(home),
            target: text(target),
            length,
            replace: existing != Existing::Keep,
            modified: modified.map(|time| (time.secs, time.nanos)),
            created,
            role,
            metadata: None,
            concat: None,
        }
    }

    /// `None` for what is not in this format.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        let info: Self = serde_json::from_slice(json).ok()?;
        // What can't be decoded later on must not exist either.
        (info.format == FORMAT && decode(&info.target).is_some()).then_some(info)
    }

    /// Whether it is this visitor's, who sees the share from `home` down.
    pub(super) fn belongs_to(&self, visitor: &Visitor, home: &RelPath) -> bool {
        self.owner.as_deref() == visitor.account.as_deref()
            && self.home == Base64::encode_string(home.as_bytes())
    }

    pub(super) fn target(&self) -> RelPath {
        decode(&self.target).unwrap_or_default()
    }

    pub(super) fn existing(&self) -> Existing {
        if self.replace {
            Existing::Replace
        } else {
            Existing::Keep
        }
    }

    pub(super) fn notes(&self) -> Notes {
        Notes {
            metadata: self.metadata.clone(),
            concat: self.concat.clone(),
        }
    }

    pub(super) fn modified(&self) -> Option<Modified> {
        let (secs, nanos) = self.modified?;
        Some(Modified { secs, nanos })
    }
}

fn decode(text: &str) -> Option<RelPath> {
    let bytes = Base64::decode_vec(text).ok()?;
    let path = RelPath::root().resolve(&bytes).ok()?;
    (path.as_bytes() == bytes).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(target: &[u8]) -> Info {
        let target = RelPath::root().resolve(target).unwrap();
        let visitor = Visitor {
            account: Some("anna".into()),
            ..Visitor::LOCAL
        };
        let modified = Modified {
            secs: -5,
            nanos: 999_999_999,
        };
        Info::new(
            &visitor,
            &RelPath::root(),
            &target,
            Some(u64::MAX),
            Existing::Keep,
            Some(modified),
            1,
            Role::Partial,
        )
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for target in [&b"a"[..], "中/文 名.txt".as_bytes(), b"\xff\n\x01/\"b\\"] {
            let info = info(target);
            let json = serde_json::to_vec(&info).unwrap();
            let read = Info::parse(&json).unwrap();
            assert_eq!(read, info);
            assert_eq!(read.target().as_bytes(), target);
            assert_eq!(read.existing(), Existing::Keep);
            assert_eq!(read.modified().map(|time| time.secs), Some(-5));
        }
    }

    #[test]
    fn what_is_not_ours_is_not_understood() {
        let json = serde_json::to_string(&info(b"a")).unwrap();
        assert!(Info::parse(json.as_bytes()).is_some());
        for (from, to) in [
            ("\"format\":1", "\"format\":2"),
            ("\"YQ==\"", "\"Li4vLi4vYQ==\""), // ../../a
            ("\"YQ==\"", "\"L2E=\""),         // /a
            ("\"YQ==\"", "\"!\""),
            ("{", ""),
            ("}", ""),
        ] {
            let other = json.replacen(from, to, 1);
            assert_ne!(other, json);
            assert_eq!(Info::parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Info::parse(b""), None);
        assert_eq!(Info::parse(&[b'['; 100_000]), None);
    }

    #[test]
    fn an_upload_is_its_owners_alone() {
        let info = info(b"a");
        let visitor = |name: Option<&str>| Visitor {
            account: name.map(Into::into),
            ..Visitor::LOCAL
        };
        let home = RelPath::root();
        assert!(info.belongs_to(&visitor(Some("anna")), &home));
        for name in [None, Some("ann"), Some("Anna"), Some("")] {
            assert!(!info.belongs_to(&visitor(name), &home), "{name:?}");
        }
        let elsewhere = home.join(b"anna").unwrap();
        assert!(!info.belongs_to(&visitor(Some("anna")), &elsewhere));
    }
}
