//! Firmware updates on the pages: what is awaited, what happened, how it ended, and who may do something about it.

use flownexus::domain::{
    EndpointId, EndpointName, FirmwareId, FirmwareImage, NewUpdate, Selection, Timestamp,
};

use super::dashboard::{Browser, password_hash};
use super::fleet::{Fleet, GONE, RICH};

fn new_update() -> NewUpdate {
    NewUpdate {
        image: FirmwareImage {
            id: FirmwareId(2),
            version: "2.0.0<i>".to_owned(),
            name: "app.bin".to_owned(),
            key: String::new(),
            sha256: String::new(),
            size: 1,
            notes: String::new(),
            selection: Selection::default(),
            created_at: Timestamp::system(),
            created_by: "ada".to_owned(),
        },
        method: None,
        rollout: None,
        created_by: "<b>ada".to_owned(),
        by: None,
    }
}

#[actix_web::test]
async fn the_page_of_a_device_says_what_is_awaited_and_what_happened() {
    let fleet = Fleet::new(password_hash());
    let name = EndpointName::new(GONE).expect("a name");
    let mut operator = Browser::of("operator", fleet.clone()).await;
    let path = format!("/devices/{GONE}");
    let page = operator.get(&path).await.text;
    assert!(page.contains("id=\"update-form\""), "{page}");

    let id = EndpointId(3);
    let update = fleet
        .updates
        .begin((id, &name), &new_update())
        .expect("begun");
    let page = operator.get(&path).await.text;
    for part in [
        "2.0.0&lt;i&gt;",
        "the device is asked what it can do and where it stands (reads 5&#x2F;0)",
        "asks for 2.0.0",
        &format!("data-cancel-update=\"{}\"", update.id),
    ] {
        let part = part.replace("&#x2F;", "/");
        assert!(
            page.replace("&#x2F;", "/").contains(&part),
            "{part}: {page}"
        );
    }
    assert!(!page.contains("<b>ada") && !page.contains("2.0.0<i>"));
    assert!(!page.contains("id=\"update-form\""), "one at a time");

    let list = operator.get("/firmware").await.text;
    assert!(
        list.contains(&format!("data-update=\"{}\"", update.id)),
        "{list}"
    );
    let mut viewer = Browser::of("viewer", fleet.clone()).await;
    for path in [path.as_str(), "/firmware"] {
        let page = viewer.get(path).await.text;
        assert!(page.contains("2.0.0&lt;i&gt;"), "{path}: {page}");
        assert!(!page.contains("data-cancel-update"), "{path}");
        assert!(!page.contains("id=\"update-form\""), "{path}");
    }

    fleet.updates.cancel(update.id).expect("cancelled");
    let page = operator.get(&path).await.text;
    assert!(
        page.contains("somebody cancelled it before the image was offered"),
        "{page}"
    );
    assert!(
        page.contains("id=\"update-form\""),
        "the next one may begin"
    );
}

#[actix_web::test]
async fn a_device_without_the_object_is_offered_nothing() {
    let mut operator = Browser::of("operator", Fleet::new(password_hash())).await;
    let page = operator.get(&format!("/devices/{RICH}")).await.text;
    assert!(page.contains("does not announce object 5"), "{page}");
    assert!(!page.contains("id=\"update-form\""), "{page}");
}
