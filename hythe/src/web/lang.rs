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
    ("Replace files of the same name", "替换同名文件"),
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
    ("Bad Request", "请求无效"),
    ("Unauthorized", "需要登录"),
    ("Forbidden", "没有权限"),
    ("Not Found", "未找到"),
    ("Method Not Allowed", "不支持此操作"),
    ("Conflict", "冲突"),
    ("Precondition Failed", "内容已变化"),
    ("Content Too Large", "内容过大"),
    ("Unsupported Media Type", "不支持的类型"),
    ("Range Not Satisfiable", "没有所请求的部分"),
    ("Too Many Requests", "尝试次数过多"),
    ("Internal Server Error", "服务器内部错误"),
    ("Not Implemented", "服务器不支持"),
    ("Service Unavailable", "服务暂不可用"),
    ("Insufficient Storage", "空间不足"),
    ("There is no such folder.", "没有这个文件夹。"),
    ("There is no such page.", "没有这个页面。"),
    ("There is no such link.", "没有这个链接。"),
    ("This link leads nowhere, or no more.", "此链接无效或已失效。"),
    ("This server has no accounts.", "此服务器没有账号功能。"),
    ("This server only shows files; it takes none.", "此服务器只提供浏览，不接受上传。"),
    ("This came from another site.", "此请求来自其他网站。"),
    ("This name is not allowed here.", "不允许使用此名称。"),
    ("The disk takes no such name.", "磁盘不支持此名称。"),
    ("The name is too long.", "名称过长。"),
    ("It is there already.", "它已经存在。"),
    ("Nothing may be put there.", "不能在此处放置任何内容。"),
    ("There is something of this name already.", "已存在同名项目。"),
    ("There is a file of this name already.", "已存在同名文件。"),
    ("There is a folder of this name.", "已存在同名文件夹。"),
    ("There is a file where a folder is needed.", "需要文件夹的位置上是一个文件。"),
    ("A file is where a folder would have to be.", "需要文件夹的位置上是一个文件。"),
    ("A folder can't be put into itself.", "不能将文件夹放入其自身。"),
    ("The folder is not empty.", "文件夹不为空。"),
    ("The share itself can't be deleted.", "不能删除整个共享。"),
    ("The share itself stays where it is.", "不能移动整个共享。"),
    ("Somebody else has changed it meanwhile.", "期间已被他人修改。"),
    ("It is not what you expected.", "内容与预期不符。"),
    ("There is no file in the form.", "没有选择文件。"),
    ("not all is stored: {}", "未能全部保存：{}。"),
    ("stored", "已保存"),
    ("there is a file of this name, and overwriting needs the role write",
     "已存在同名文件，替换它需要“读写”角色"),
    ("Back to the folder", "返回文件夹"),
    ("The file is too large.", "文件过大。"),
    ("files of more than {size} are not taken here", "此处不接受大于 {size} 的文件"),
    ("The form is too long.", "表单过长。"),
    ("The disk is full.", "磁盘已满。"),
    ("The server's disk is full.", "服务器磁盘已满。"),
    ("Your quota does not leave room for it.", "超出您的配额。"),
    ("This is more than your quota has room for.", "超出您的配额。"),
    ("The disk can only be read.", "磁盘为只读。"),
    ("The server's disk can't be written to.", "服务器磁盘无法写入。"),
    ("The server may not write this.", "服务器无权写入。"),
    ("The server cannot write this.", "服务器无法写入。"),
    ("The server cannot read this.", "服务器无法读取。"),
    ("Busy; try again.", "服务器繁忙，请重试。"),
    ("The server is short of resources; try again.", "服务器资源不足，请重试。"),
    ("This needs the role admin.", "此操作需要管理员角色。"),
    ("Sign in first.", "请先登录。"),

    // Signing in and up, accounts, share links.
    ("Files", "文件"),
    ("User name", "用户名"),
    ("Password", "密码"),
    ("New here?", "还没有账号？"),
    ("Make an account", "注册账号"),
    ("Make the account", "注册"),
    ("The password again", "再次输入密码"),
    ("At least 8 characters.", "至少 8 个字符。"),
    ("Have an account already?", "已有账号？"),
    ("The name or the password is wrong.", "用户名或密码错误。"),
    ("Too many wrong passwords. Try again in {seconds} seconds.", "密码错误次数过多，请在 {seconds} 秒后重试。"),
    ("Many sign in at this moment. Try again.", "当前登录人数过多，请重试。"),
    ("The accounts can't be used just now. Try again later.", "账号数据暂时不可用，请稍后重试。"),
    ("There is an account of this name already.", "此用户名已被使用。"),
    ("There is no account of this name.", "没有此用户名的账号。"),
    ("Accounts are made by an admin only.", "账号只能由管理员创建。"),
    ("The two passwords are not the same.", "两次输入的密码不一致。"),
    ("This needs an account with the role {role}.", "此操作需要角色为“{role}”的账号。"),
    ("Role", "角色"),
    ("none", "无"),
    ("read", "只读"),
    ("upload", "上传"),
    ("write", "读写"),
    ("admin", "管理员"),
    ("may do nothing", "没有任何权限"),
    ("may look and download", "可以浏览和下载"),
    ("may look, download and add", "可以浏览、下载和上传"),
    ("may add, replace, rename and delete", "可以上传、替换、重命名和删除"),
    ("may do everything, and manage accounts", "拥有全部权限，并可管理账号"),
    ("Home folder", "主文件夹"),
    ("Stored", "已用空间"),
    ("{used} of {quota}", "{used}，共 {quota}"),
    ("Created", "创建时间"),
    ("Last signed in", "上次登录"),
    ("last signed in", "上次登录"),
    ("never signed in", "从未登录"),
    ("Change the password", "修改密码"),
    ("This account is for this run of the server only; its password is that of the command line.",
     "此账号仅在服务器本次运行期间有效，密码由命令行指定。"),
    ("The current password", "当前密码"),
    ("The new password", "新密码"),
    ("The new password again", "再次输入新密码"),
    ("This signs you out on all other devices.", "修改后，其他设备上的登录将失效。"),
    ("The password is changed. Other devices are signed out.", "密码已修改，其他设备已退出登录。"),
    ("The old password is wrong.", "当前密码错误。"),
    ("Sign out here", "在此退出登录"),
    ("Sign out everywhere", "在所有设备上退出登录"),
    ("Remove an account", "删除账号"),
    ("Remove the account", "删除账号"),
    ("Its sessions, unfinished uploads and share links end. Its files stay.",
     "其登录、未完成的上传和分享链接都将失效，文件会保留。"),
    ("Keep it", "保留"),
    ("From the command line, for this run of the server only.", "来自命令行，仅在服务器本次运行期间有效。"),
    ("Change", "修改"),
    ("Set", "设置"),
    ("Quota, such as 10G; empty for none", "配额，如 10G；留空则不限"),
    ("New password", "新密码"),
    ("Remove", "删除"),
    ("Add an account", "添加账号"),
    ("Add the account", "添加账号"),
    ("This link has a password", "此链接需要密码"),
    ("Downloads left: {left} of {all}", "剩余 {left} 次下载，共 {all} 次"),
    ("Downloads left: {left}", "剩余 {left} 次下载"),
    ("The new link. Copy it now: it is not shown again.", "新链接如下。请立即复制：它不会再次显示。"),
    ("Open it", "打开链接"),
    ("There are no links yet.", "还没有分享链接。"),
    ("until", "有效期至"),
    ("for ever", "永久有效"),
    ("with a password", "有密码"),
    ("A new link", "新建链接"),
    ("File or folder", "文件或文件夹"),
    ("It lasts", "有效期"),
    ("An hour", "一小时"),
    ("A day", "一天"),
    ("A week", "一周"),
    ("A month", "一个月"),
    ("For ever", "永久"),
    ("Password; empty for none", "密码；留空则不设"),
    ("Downloads; empty for any number", "下载次数；留空则不限"),
    ("Make the link", "创建链接"),
    ("Whoever has the link can look at this and download it, without an account.",
     "任何得到此链接的人无需账号即可查看和下载。"),
    ("Open", "打开"),
    ("Download", "下载"),
    ("The password is wrong.", "密码错误。"),
    ("You can't take away your own role; another admin can.", "不能取消自己的角色；请由其他管理员操作。"),
    ("There is no such file or folder.", "没有这个文件或文件夹。"),
    ("You may not read this.", "您无权读取此内容。"),
    ("This can't be looked at just now. Try again later.", "暂时无法读取，请稍后重试。"),
    ("Downloads and seconds are whole numbers.", "下载次数和秒数须为整数。"),

    // What names, passwords and the like have to be.
    ("a name is text in UTF-8", "用户名须为 UTF-8 文本"),
    ("a name has at least one character", "用户名至少有一个字符"),
    ("a name has at most 64 characters", "用户名最多 64 个字符"),
    ("a name has no control characters and no invisible ones", "用户名不能含有控制字符或不可见字符"),
    ("a name has neither a slash nor a colon in it", "用户名不能含有斜杠或冒号"),
    ("a name neither begins nor ends with a space", "用户名首尾不能有空格"),
    ("a name is neither . nor ..", "用户名不能是 . 或 .."),
    ("visitors without an account are called anonymous and ftp", "anonymous 和 ftp 留给没有账号的访客"),
    ("a password has at least 8 characters", "密码至少 8 个字符"),
    ("a password has at least one byte", "密码不能为空"),
    ("a password has at most 1,024 bytes", "密码过长：最多 1,024 个字节"),
    ("this account is for this run only; change it where --user is given",
     "此账号仅在本次运行期间有效；请在 --user 处修改"),
    ("give read, upload, write or admin", "角色须为 read、upload、write 或 admin"),
    ("an account has at most 1,000 links; remove some", "每个账号最多 1,000 个链接；请删除一些"),
    ("the role is read, upload, write or admin", "角色须为 read、upload、write 或 admin"),
    ("the home is a path in the share", "主文件夹须为共享内的路径"),
    ("the quota is a size such as 500M or 10G", "配额须为大小，如 500M 或 10G"),
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
