//! The languages that pages speak.
//!
//! Texts are written in English where they are used, and looked up here by what
//! they say, as gettext does: whoever reads a template reads English, and a text
//! without its translation is shown in English rather than not at all. A test
//! sees to it that no translation is missing.

use std::collections::HashMap;
use std::sync::LazyLock;

use hythe_wire::http::{list, quality, split_outside_quotes};

/// A language that pages speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese, in simplified characters.
    Zh,
}

impl Lang {
    /// What a client would rather read, by its `Accept-Language` values (RFC 9110
    /// §12.5.4): the language with the highest quality, of equals the one named
    /// first, English if it wants neither. Every kind of Chinese is Chinese.
    ///
    /// ```
    /// use hythe::web::Lang;
    ///
    /// let asked = [&b"de, zh-Hant;q=0.8, en;q=0.5"[..]];
    /// assert_eq!(Lang::of(asked.into_iter()), Lang::Zh);
    /// ```
    pub fn of<'a>(accept_language: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut best = (Self::En, 0);
        for range in accept_language.flat_map(list) {
            let mut pieces = split_outside_quotes(range, b';');
            let Some(lang) = pieces.next().and_then(Self::by_tag) else {
                continue;
            };
            let weight = pieces.find_map(|parameter| match parameter {
                [b'q' | b'Q', b'=', text @ ..] => Some(quality(text).unwrap_or(0)),
                _ => None,
            });
            let weight = weight.unwrap_or(1000);
            if weight > best.1 {
                best = (lang, weight);
            }
        }
        best.0
    }

    /// `en`, `en-GB`, `zh`, `zh-Hant-TW` …; `*` is satisfied by English.
    fn by_tag(tag: &[u8]) -> Option<Self> {
        let primary = tag.split(|&byte| byte == b'-').next()?;
        match primary.to_ascii_lowercase().as_slice() {
            b"en" | b"*" => Some(Self::En),
            b"zh" => Some(Self::Zh),
            _ => None,
        }
    }

    /// Its name in HTML's `lang` and HTTP's `Content-Language` (RFC 5646).
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-Hans",
        }
    }

    /// An English text in this language; as it is if nobody has translated it.
    pub fn say(self, english: &str) -> &str {
        static CHINESE: LazyLock<HashMap<&str, &str>> =
            LazyLock::new(|| ZH.iter().copied().collect());
        match self {
            Self::En => english,
            Self::Zh => CHINESE.get(english).copied().unwrap_or(english),
        }
    }

    /// What stands between the members of a list.
    pub(super) fn comma(self) -> &'static str {
        match self {
            Self::En => ", ",
            Self::Zh => "，",
        }
    }
}

/// English and Chinese, in the order in which they come on the pages.
#[rustfmt::skip] // One text a line, or two if they are long.
const ZH: &[(&str, &str)] = &[
    // The frame of every page.
    ("Breadcrumbs", "当前位置"),
    ("Account", "账号"),
    ("Your account", "您的账号"),
    ("Share links", "分享链接"),
    ("People", "用户"),
    ("Sign out", "退出登录"),
    ("Sign in", "登录"),
    ("Sign up", "注册"),

    // A folder.
    ("Name", "名称"),
    ("Size", "大小"),
    ("Modified (UTC)", "修改时间 (UTC)"),
    ("Download zip", "下载 zip"),
    ("Download tar", "下载 tar"),
    ("Upload files", "上传文件"),
    ("Upload", "上传"),
    ("Parent folder", "上级文件夹"),
    ("Folder", "文件夹"),
    ("No link can hold this name", "链接无法表示此名称"),
    ("Contents of this folder, folders first", "此文件夹的内容，文件夹在前"),
    ("This folder is empty.", "此文件夹为空。"),
    ("This folder is empty. What you upload will be here.",
     "此文件夹为空。您上传的内容会显示在这里。"),
    ("Download selected as zip", "将所选内容下载为 zip"),
    ("Search", "搜索"),
    ("Search here and below", "搜索此处及子文件夹"),
    ("What was found", "搜索结果"),
    ("Found: {}", "搜索结果：{}"),
    ("Nothing here has this in its name.", "没有名称包含此内容的文件或文件夹。"),
    ("There is more than a search can look at. Search in a folder further down.",
     "内容过多，未能全部搜索。请进入下级文件夹再搜索。"),
    ("This folder has too many entries to be sorted. They are listed as the disk has them.",
     "此文件夹内容过多，无法排序，按磁盘上的顺序列出。"),

    // Errors.
    ("Go to the top folder", "前往顶层文件夹"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_one_preferred() {
        use Lang::{En, Zh};
        for (values, expected) in [
            (&[][..], En),
            (&[""], En),
            (&["zh"], Zh),
            (&["zh-CN,zh;q=0.9,en;q=0.8"], Zh),
            (&["ZH-hant-TW"], Zh),
            (&["en-US,en;q=0.9,zh-CN;q=0.8"], En),
            (&["fr, de;q=0.9"], En),
            (&["fr, zh-HK;q=0.1"], Zh),
            (&["en;q=0.5, zh;q=0.6"], Zh),
            (&["en;q=0.6", "zh;q=0.6"], En),
            (&["zh;q=0"], En),
            (&["zh;q=nonsense"], En),
            (&["*, zh;q=0.5"], En),
            (&["zhx, zh_CN, \u{ff}"], En),
        ] {
            let values = values.iter().map(|value| value.as_bytes());
            assert_eq!(
                Lang::of(values.clone()),
                expected,
                "{:?}",
                values.collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn no_text_is_translated_twice() {
        let mut seen = std::collections::HashSet::new();
        for (english, chinese) in ZH {
            assert!(seen.insert(english), "{english}");
            assert!(!chinese.is_empty());
        }
    }

    #[test]
    fn what_nobody_translated_stays_english() {
        assert_eq!(Lang::Zh.say("Sign in"), "登录");
        assert_eq!(Lang::Zh.say("never heard of"), "never heard of");
        assert_eq!(Lang::En.say("Sign in"), "Sign in");
    }

    /// The Rust sources of pages, and all below.
    fn sources(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                // Not the tests, which say what nobody should translate.
                found.push(text.split("#[cfg(test)]").next().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn everything_said_on_a_page_is_translated() {
        let mut texts = Vec::new();
        sources(
            &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut texts,
        );
        let mut said = 0;
        for text in &texts {
            for rest in text.split("say(\"").skip(1) {
                let english = rest.split("\")").next().unwrap();
                assert!(
                    ZH.iter().any(|(known, _)| *known == english),
                    "not in the table of translations: {english:?}"
                );
                said += 1;
            }
        }
        assert!(said > 10);
    }
}
