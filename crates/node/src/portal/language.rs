//! The portal's words, in English and Japanese.

/// A language of the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Japanese,
}

impl Language {
    /// The tag in `?lang=` and in the page (BCP 47).
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }

    /// The language of a tag such as `ja` or `ja-JP`.
    pub(super) fn from_tag(tag: &str) -> Option<Self> {
        match tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            "ja" => Some(Self::Japanese),
            _ => None,
        }
    }

    /// The first choice among those that `Accept-Language` accepts (RFC 9110, section 12.5.4); English otherwise.
    pub(super) fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::English);
        for part in header.split(',').take(32) {
            let mut fields = part.split(';');
            let Some(language) = fields.next().and_then(Self::from_tag) else { continue };
            let weight = fields.find_map(|f| f.trim().strip_prefix("q=")?.trim().parse::<f32>().ok()).unwrap_or(1.0);
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }

    pub(super) fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Japanese => &JAPANESE,
        }
    }

    /// `11 h 59 min`, rounded up so that "0 min" is never said of a session that still lives.
    pub(super) fn duration(self, d: std::time::Duration) -> String {
        let minutes = d.as_secs().div_ceil(60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        match (self, hours, minutes) {
            (Self::English, 0, m) => format!("{m} min"),
            (Self::English, h, 0) => format!("{h} h"),
            (Self::English, h, m) => format!("{h} h {m} min"),
            (Self::Japanese, 0, m) => format!("{m}分"),
            (Self::Japanese, h, 0) => format!("{h}時間"),
            (Self::Japanese, h, m) => format!("{h}時間{m}分"),
        }
    }
}

/// The words. `{}` stands for the value that the page puts in.
pub(super) struct Texts {
    pub(super) other: (Language, &'static str),
    pub(super) sign_in_title: &'static str,
    pub(super) sign_in_intro: &'static str,
    pub(super) account: &'static str,
    pub(super) password: &'static str,
    pub(super) sign_in: &'static str,
    pub(super) device_address: &'static str,
    pub(super) signed_in_title: &'static str,
    pub(super) signed_in_as: &'static str,
    pub(super) account_is: &'static str,
    pub(super) remaining: &'static str,
    pub(super) no_limit: &'static str,
    pub(super) no_account: &'static str,
    pub(super) sign_out: &'static str,
    pub(super) signed_out: &'static str,
    pub(super) wrong: &'static str,
    pub(super) one_left: &'static str,
    pub(super) many_left: &'static str,
    pub(super) none_left: &'static str,
    pub(super) locked: &'static str,
    pub(super) disabled: &'static str,
    pub(super) not_here: &'static str,
    pub(super) unavailable: &'static str,
    pub(super) stale: &'static str,
    pub(super) incomplete: &'static str,
    pub(super) unknown_title: &'static str,
    pub(super) unknown: &'static str,
    pub(super) redirect: &'static str,
}

const ENGLISH: Texts = Texts {
    other: (Language::Japanese, "日本語"),
    sign_in_title: "Sign in to the network",
    sign_in_intro: "This device has not signed in yet. Until it does, it reaches nothing but this page.",
    account: "Account",
    password: "Password",
    sign_in: "Sign in",
    device_address: "Address of this device: {}",
    signed_in_title: "You are signed in",
    signed_in_as: "On this network the device is called {}.",
    account_is: "Account: {}",
    remaining: "Time left: {}",
    no_limit: "Time left: no limit",
    no_account: "The device is known here and needs no account.",
    sign_out: "Sign out",
    signed_out: "You are signed out.",
    wrong: "Account or password is wrong.",
    one_left: "One attempt left.",
    many_left: "{} attempts left.",
    none_left: "No attempt left for now.",
    locked: "Too many wrong attempts. Try again in {}.",
    disabled: "This account is disabled. Please ask your administrator.",
    not_here: "This device cannot sign in from where it is connected. Please ask your administrator.",
    unavailable: "Signing in does not work at the moment. Please try again in a minute.",
    stale: "This page was open too long. Please try again.",
    incomplete: "Please fill in account and password.",
    unknown_title: "This device is not known here",
    unknown: "Switch its network connection off and on, so that it asks for an address again.",
    redirect: "Sign in here: ",
};

const JAPANESE: Texts = Texts {
    other: (Language::English, "English"),
    sign_in_title: "ネットワークへのログイン",
    sign_in_intro: "この端末はまだログインしていません。ログインするまで、このページ以外には接続できません。",
    account: "アカウント",
    password: "パスワード",
    sign_in: "ログイン",
    device_address: "この端末のアドレス: {}",
    signed_in_title: "ログインしています",
    signed_in_as: "このネットワークでの端末名は {} です。",
    account_is: "アカウント: {}",
    remaining: "残り時間: {}",
    no_limit: "残り時間: 無制限",
    no_account: "この端末は登録済みのため、アカウントは不要です。",
    sign_out: "ログアウト",
    signed_out: "ログアウトしました。",
    wrong: "アカウントまたはパスワードが違います。",
    one_left: "あと1回試せます。",
    many_left: "あと{}回試せます。",
    none_left: "しばらくの間、試すことができません。",
    locked: "間違いが多すぎます。{}後にもう一度お試しください。",
    disabled: "このアカウントは停止されています。管理者にお問い合わせください。",
    not_here: "この接続場所からはログインできません。管理者にお問い合わせください。",
    unavailable: "現在ログインできません。1分ほど待ってからもう一度お試しください。",
    stale: "ページを開いてから時間が経ちすぎました。もう一度お試しください。",
    incomplete: "アカウントとパスワードを入力してください。",
    unknown_title: "この端末は登録されていません",
    unknown: "ネットワーク接続をいったん切って入れ直し、アドレスを取得し直してください。",
    redirect: "ログインはこちら: ",
};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_best_accepted_language_wins() {
        for (header, expected) in [
            ("", Language::English),
            ("ja", Language::Japanese),
            ("ja-JP,ja;q=0.9,en-US;q=0.8", Language::Japanese),
            ("en-US,en;q=0.9,ja;q=0.8", Language::English),
            ("fr, ja;q=0.5, en;q=0.4", Language::Japanese),
            ("ja;q=0, en;q=0.1", Language::English),
            ("de,fr", Language::English),
            ("ja;q=nan", Language::English),
            (";;;,,,;q=;", Language::English),
        ] {
            assert_eq!(Language::accepted(header), expected, "{header:?}");
        }
    }

    #[test]
    fn durations_are_rounded_up() {
        for (seconds, english, japanese) in [
            (1, "1 min", "1分"),
            (60, "1 min", "1分"),
            (3600, "1 h", "1時間"),
            (43_141, "12 h", "12時間"),
            (3661, "1 h 2 min", "1時間2分"),
        ] {
            assert_eq!(Language::English.duration(Duration::from_secs(seconds)), english);
            assert_eq!(Language::Japanese.duration(Duration::from_secs(seconds)), japanese);
        }
    }
}
