//! How messages that carry passwords and tokens are shown in logs and in tests' output: without them.

use std::fmt;

use crate::proto::auth::{LoginForRequest, LoginForResponse};
use crate::rest::{LoginRequest, RegisterRequest};

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RegisterRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterRequest")
            .field("email", &self.email)
            .field("display_name", &self.display_name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LoginForRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginForRequest")
            .field("email", &self.email)
            .field("client_address", &self.client_address)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LoginForResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginForResponse")
            .field("refresh_max_age_s", &self.refresh_max_age_s)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        const SECRET: &str = "correct horse battery";
        let shown = [
            format!(
                "{:?}",
                LoginRequest {
                    email: "a@b".into(),
                    password: SECRET.into()
                }
            ),
            format!(
                "{:?}",
                RegisterRequest {
                    email: "a@b".into(),
                    password: SECRET.into(),
                    display_name: "Ada".into(),
                    role: crate::Role::Viewer,
                }
            ),
            format!(
                "{:?}",
                LoginForRequest {
                    email: "a@b".into(),
                    password: SECRET.into(),
                    client_address: String::new()
                }
            ),
            format!(
                "{:?}",
                LoginForResponse {
                    token_json: SECRET.into(),
                    refresh_token: SECRET.into(),
                    refresh_max_age_s: 1,
                }
            ),
        ];
        for text in shown {
            assert!(!text.contains(SECRET), "{text}");
        }
    }
}
