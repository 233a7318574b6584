//! The portal's pages. Every value that comes from outside passes [`escape`].

use super::language::Language;
use super::service::Admitted;

/// Text as HTML text or attribute value (WHATWG HTML, section 13.1.2).
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A text of [`super::language::Texts`] with its value, escaped.
fn filled(text: &str, value: &str) -> String {
    escape(text).replacen("{}", &escape(value), 1)
}

/// What stands above the form.
pub(super) enum Notice {
    /// Something went wrong; read out at once by screen readers.
    Problem(String),
    /// Something was done.
    Done(String),
}

fn frame(language: Language, network: &str, title: &str, body: &str) -> String {
    let (other, other_name) = language.texts().other;
    let (lang, title, network) = (language.tag(), escape(title), escape(network));
    let other = other.tag();
    format!(
        "<!DOCTYPE html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} – {network}</title>\n\
         <link rel=\"stylesheet\" href=\"/portal.css\">\n</head>\n<body>\n\
         <header><p>{network}</p><a href=\"/?lang={other}\" lang=\"{other}\" hreflang=\"{other}\">{other_name}</a></header>\n\
         <main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// The form. `account` is what was typed before, so that only the password must be typed again.
pub(super) fn login(
    language: Language,
    network: &str,
    token: &str,
    mac: &str,
    account: &str,
    notice: Option<&Notice>,
) -> String {
    let t = language.texts();
    let notice = match notice {
        Some(Notice::Problem(text)) => format!("<p class=\"problem\" role=\"alert\">{}</p>\n", escape(text)),
        Some(Notice::Done(text)) => format!("<p class=\"done\" role=\"status\">{}</p>\n", escape(text)),
        None => format!("<p>{}</p>\n", escape(t.sign_in_intro)),
    };
    // The cursor goes to the first field that is still to be filled.
    let (on_account, on_password) = if account.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
    let body = format!(
        "{notice}<form method=\"post\" action=\"/login\">\n\
         <input type=\"hidden\" name=\"token\" value=\"{token}\">\n<input type=\"hidden\" name=\"lang\" value=\"{lang}\">\n\
         <label for=\"account\">{account_label}</label>\n\
         <input id=\"account\" name=\"account\" value=\"{account}\" required maxlength=\"63\" autocomplete=\"username\" \
         autocapitalize=\"none\" spellcheck=\"false\"{on_account}>\n\
         <label for=\"password\">{password_label}</label>\n\
         <input id=\"password\" name=\"password\" type=\"password\" required maxlength=\"256\" \
         autocomplete=\"current-password\"{on_password}>\n\
         <button type=\"submit\">{submit}</button>\n</form>\n<p class=\"small\">{mac}</p>\n",
        token = escape(token),
        lang = language.tag(),
        account_label = escape(t.account),
        account = escape(account),
        password_label = escape(t.password),
        submit = escape(t.sign_in),
        mac = filled(t.device_address, mac),
    );
    frame(language, network, t.sign_in_title, &body)
}

/// For somebody who is signed in. Who came in without an account has nothing to sign out of.
pub(super) fn signed_in(language: Language, network: &str, token: &str, who: &Admitted) -> String {
    let t = language.texts();
    let mut body = format!("<p>{}</p>\n<ul>\n", filled(t.signed_in_as, &who.name));
    match &who.account {
        Some(account) => body.push_str(&format!("<li>{}</li>\n", filled(t.account_is, account))),
        None => body.push_str(&format!("<li>{}</li>\n", escape(t.no_account))),
    }
    match who.remaining {
        Some(d) => body.push_str(&format!("<li>{}</li>\n", filled(t.remaining, &language.duration(d)))),
        None => body.push_str(&format!("<li>{}</li>\n", escape(t.no_limit))),
    }
    body.push_str("</ul>\n");
    if who.account.is_some() {
        body.push_str(&format!(
            "<form method=\"post\" action=\"/logout\">\n<input type=\"hidden\" name=\"token\" value=\"{}\">\n\
             <input type=\"hidden\" name=\"lang\" value=\"{}\">\n<button type=\"submit\">{}</button>\n</form>\n",
            escape(token),
            language.tag(),
            escape(t.sign_out),
        ));
    }
    frame(language, network, t.signed_in_title, &body)
}

/// For an address that no endpoint has.
pub(super) fn unknown(language: Language, network: &str) -> String {
    let t = language.texts();
    frame(language, network, t.unknown_title, &format!("<p>{}</p>\n", escape(t.unknown)))
}

/// What stands in a redirect, for browsers that do not follow it.
pub(super) fn redirect(language: Language, network: &str, target: &str) -> String {
    let t = language.texts();
    let target = escape(target);
    frame(
        language,
        network,
        t.sign_in_title,
        &format!("<p>{}<a href=\"{target}\">{target}</a></p>\n", escape(t.redirect)),
    )
}

/// The style sheet: system fonts, both colour schemes, targets large enough for thumbs.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#16202c;--soft:#5a6776;--line:#c3cbd5;--act:#0b5cad;--on-act:#fff;--bad:#a3161b;--bad-paper:#fdeceb;--good:#14603a;--good-paper:#e6f5ec}
@media (prefers-color-scheme:dark){:root{--paper:#10151b;--card:#1a222c;--ink:#e8edf3;--soft:#9fadbd;--line:#3b4958;--act:#7db8f5;--on-act:#0b1a2a;--bad:#ffb4ae;--bad-paper:#3c1c1c;--good:#9adfb6;--good-paper:#16301f}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;background:var(--paper);color:var(--ink);font:1.0625rem/1.5 system-ui,sans-serif}
header,main{max-width:26rem;margin:0 auto;padding:0 1.25rem}
header{display:flex;justify-content:space-between;align-items:center;padding-top:1rem;color:var(--soft)}
header p{margin:0}
header a{padding:.6rem 0;color:inherit}
main{margin-top:1rem;padding:1.25rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem}
h1{margin:0 0 .75rem;font-size:1.4rem;line-height:1.25}
p,ul{margin:.5rem 0}
ul{padding-left:1.2rem}
label{display:block;margin-top:1rem;font-weight:600}
input{width:100%;margin-top:.25rem;padding:.7rem;font:inherit;color:inherit;background:transparent;border:1px solid var(--soft);border-radius:.5rem}
button{width:100%;margin-top:1.25rem;padding:.8rem;font:inherit;font-weight:600;color:var(--on-act);background:var(--act);border:0;border-radius:.5rem;cursor:pointer}
a:focus-visible,input:focus-visible,button:focus-visible{outline:3px solid var(--act);outline-offset:2px}
.problem,.done{padding:.7rem .9rem;border-radius:.5rem}
.problem{color:var(--bad);background:var(--bad-paper)}
.done{color:var(--good);background:var(--good-paper)}
.small{color:var(--soft);font-size:.875rem;overflow-wrap:anywhere}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let nasty = "\"><script>alert('&')</script>";
        let page = login(Language::English, nasty, nasty, nasty, nasty, Some(&Notice::Problem(nasty.to_owned())));
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 6, "{page}");
        let who = Admitted { name: nasty.to_owned(), account: Some(nasty.to_owned()), remaining: None };
        assert!(!signed_in(Language::Japanese, nasty, nasty, &who).contains("<script"));
        assert!(!redirect(Language::Japanese, nasty, nasty).contains("<script"));
    }

    #[test]
    fn pages_need_nothing_from_outside() {
        for language in [Language::English, Language::Japanese] {
            let who = Admitted { name: "anna".into(), account: Some("anna".into()), remaining: None };
            for page in
                [login(language, "n", "t", "m", "", None), signed_in(language, "n", "t", &who), unknown(language, "n")]
            {
                assert!(!page.contains("//") && !page.contains("<script") && !page.contains("style="), "{page}");
                assert!(page.contains(&format!("<html lang=\"{}\">", language.tag())));
                assert!(!page.contains("{}"), "{page}");
            }
        }
    }
}
