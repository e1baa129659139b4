//! The routes and what they have in common.

/// What can be asked.
#[allow(missing_docs)] // docs/api.md says what each is
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Ping,
    Page,
    Status,
    Plan,
    History,
    Log,
    Verify,
    Events,
    Openapi,
    Metrics,
    Login,
    Logout,
    Check,
    Apply,
    Rollback,
    Repair,
    Auto,
    Skip,
    Unskip,
    Upload,
}

impl Route {
    /// The route of a path, without its query.
    pub fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/ping" => Route::Ping,
            "/" => Route::Page,
            "/metrics" => Route::Metrics,
            _ => match path.strip_prefix("/api/update/") {
                None => return path.starts_with("/pikit-update/").then_some(Route::Page),
                // for pages behind a proxy whose /ping is the dashboard's own
                Some("ping") => Route::Ping,
                Some("status") => Route::Status,
                Some("plan") => Route::Plan,
                Some("history") => Route::History,
                Some("log") => Route::Log,
                Some("verify") => Route::Verify,
                Some("events") => Route::Events,
                Some("openapi.json") => Route::Openapi,
                Some("login") => Route::Login,
                Some("logout") => Route::Logout,
                Some("check") => Route::Check,
                Some("apply") => Route::Apply,
                Some("rollback") => Route::Rollback,
                Some("repair") => Route::Repair,
                Some("auto") => Route::Auto,
                Some("skip") => Route::Skip,
                Some("unskip") => Route::Unskip,
                Some("upload") => Route::Upload,
                Some(_) => return None,
            },
        })
    }
    /// Whether it changes something.
    pub fn is_post(self) -> bool {
        use Route::*;
        matches!(self, Login | Logout | Check | Apply | Rollback | Repair | Auto | Skip | Unskip | Upload)
    }
    /// What its body must be declared as.
    pub fn kind(self) -> &'static str {
        if self == Route::Upload { "application/octet-stream" } else { "application/json" }
    }
    /// Whether it is answered without a token.
    pub fn is_open(self) -> bool {
        matches!(self, Route::Ping | Route::Page | Route::Login | Route::Logout)
    }
}
