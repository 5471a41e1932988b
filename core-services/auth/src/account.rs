//! What an account may look like.

use mcsp_api::Role;
use mcsp_api::metadata::FieldError;
use mcsp_api::rest::{LoginRequest, RegisterRequest};

const EMAIL_CHARS_MAX: usize = 254;
const EMAIL_LOCAL_CHARS_MAX: usize = 64;
const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=128;
const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=100;

/// Checks a registration, field by field.
pub(crate) fn check(request: &RegisterRequest) -> Result<(), FieldError> {
    if !is_email(&request.email) {
        return Err(FieldError::new(
            "/email",
            "an e-mail address such as name@example.com, of at most 254 characters",
        ));
    }
    if !PASSWORD_CHARS.contains(&request.password.chars().count()) {
        return Err(FieldError::new(
            "/password",
            "a password has 8 to 128 characters",
        ));
    }
    let name = request.display_name.as_str();
    let is_name = NAME_CHARS.contains(&name.chars().count()) && !name.trim().is_empty();
    if !is_name || name.chars().any(char::is_control) {
        return Err(FieldError::new(
            "/display_name",
            "a name has 1 to 100 characters and is one line of text",
        ));
    }
    if !matches!(request.role, Role::Viewer | Role::Creator) {
        return Err(FieldError::new(
            "/role",
            "you may register as viewer or creator; others are appointed",
        ));
    }
    Ok(())
}

/// Could an account have this address and this password? No other region is asked about what none can have. It tells
/// nothing about which accounts there are.
pub(crate) fn may_exist(login: &LoginRequest) -> bool {
    is_email(&login.email) && PASSWORD_CHARS.contains(&login.password.chars().count())
}

/// The form by which an address is found: accounts differ in more than the case of their addresses.
pub(crate) fn email_key(email: &str) -> String {
    email.to_lowercase()
}

/// The shape of RFC 5321 addresses, without quoted local parts and address literals.
fn is_email(email: &str) -> bool {
    let Some((local, domain)) = email.rsplit_once('@') else {
        return false;
    };
    let is_atom = |text: &str, extra: &str| {
        !text.is_empty()
            && text.split('.').all(|atom| {
                !atom.is_empty()
                    && atom
                        .chars()
                        .all(|c| c.is_alphanumeric() || (c.is_ascii() && extra.contains(c)))
            })
    };
    email.chars().count() <= EMAIL_CHARS_MAX
        && local.chars().count() <= EMAIL_LOCAL_CHARS_MAX
        && is_atom(local, "!#$%&'*+-/=?^_`{|}~")
        && is_atom(domain, "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "a@b",
            "Ada.Obi+mcsp@example.com",
            "ọmọ@example.ng",
            "o'neil@x-y.example",
        ] {
            assert!(is_email(good), "{good}");
        }
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("a@{}.com", "b".repeat(250));
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c",
            "a@b@c",
            "a..b@c",
            ".a@c",
            "a@b.",
            "a@[1.2.3.4]",
            "a\n@b",
            "\"a\"@b",
            "a\0@b",
            &long_local,
            &long,
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = is_email(&text);
            let _ = email_key(&text);
        }
    }
}
