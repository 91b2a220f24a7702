//! What a device does wrong is listed on its page, escaped.

use super::dashboard::{Browser, password_hash};
use super::fleet::{Fleet, RICH};

#[actix_web::test]
async fn a_warning_is_shown_with_its_code_and_escaped() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = browser.get(&format!("/devices/{RICH}")).await.text;
    assert!(page.contains("an object link has no path: “&lt;script&gt;”"));
    assert!(page.contains("bad_link"));
}
