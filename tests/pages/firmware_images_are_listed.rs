//! The page of firmware images: what is known of each, and who may change it.

use super::dashboard::{Browser, password_hash};
use super::fleet::Fleet;

#[actix_web::test]
async fn everybody_sees_what_is_known_of_an_image() {
    let mut browser = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = browser.get("/firmware").await.text;
    let hash = format!("{:064x}", 2);
    for part in [
        "data-image=\"2\"",
        ">1.0.0</span>",
        "app-1.0.0.bin",
        "title=\"422000 bytes\">412 KiB<",
        &format!("data-copy=\"{hash}\""),
        ">000000000000…</button>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "urn:imei:35* #lab",
        "every device",
        "by &lt;b&gt;ada",
        "href=\"/api/v1/firmware/2/file\"",
        "over HTTPS on [::]:8443",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<script>alert") && !page.contains("<b>ada"));
    let newest = page.find("data-image=\"2\"");
    assert!(newest < page.find("data-image=\"1\""), "newest first");

    let mut browser = Browser::of("operator", Fleet::empty(password_hash())).await;
    let page = browser.get("/firmware").await.text;
    assert!(page.contains("No images"), "{page}");
    assert!(page.contains("data-max-bytes=\"67108864\""), "{page}");
    assert!(page.contains("At most 64 MiB."), "{page}");
}
