//! The list of devices in every order, and the page of what was asked of many of them.

use actix_web::http::StatusCode;
use flownexus::domain::{
    BulkAction, BulkId, BulkItemState, BulkOperation, BulkState, Doer, EndpointName,
    OperationStatus, Timestamp,
};
use flownexus::store::{BulkSettled, BulkStore as _};

use super::dashboard::{Browser, password_hash};
use super::fleet::{ASLEEP, Fleet, GONE, HOSTILE, RICH};

fn names(page: &str) -> Vec<String> {
    let rows = page.split("<tr data-endpoint=\"").skip(1);
    let name = |row: &str| row.split('"').next().unwrap_or_default().to_owned();
    rows.map(name).collect()
}

#[actix_web::test]
async fn the_list_is_filtered_and_sorted_by_its_address() {
    let mut browser = Browser::of("operator", Fleet::new(password_hash())).await;
    let asleep = browser.get("/devices?state=asleep").await.text;
    assert_eq!(names(&asleep), [ASLEEP]);
    assert!(asleep.contains("1 device matches"), "{asleep}");
    let offline = browser.get("/devices?registered=false").await.text;
    assert_eq!(names(&offline), [GONE], "links from before");
    let turned = browser.get("/devices?sort=-name").await.text;
    let mut sorted = names(&turned);
    sorted.reverse();
    assert_eq!(sorted, names(&browser.get("/devices").await.text));
    assert!(turned.contains("aria-sort=\"descending\""), "{turned}");
    let table = "/api/v1/endpoints.csv?search=urn&amp;state=asleep";
    let page = browser.get("/devices?search=urn&state=asleep").await.text;
    assert!(page.contains(table), "{page}");
    for bad in [
        "state=tired",
        "sort=size",
        "cursor=x",
        "object=-1",
        "secure=1",
    ] {
        let page = browser.get(&format!("/devices?{bad}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    // Who may not operate devices chooses nothing for it.
    let mut viewer = Browser::of("viewer", Fleet::new(password_hash())).await;
    let page = viewer.get("/devices").await.text;
    assert!(
        !page.contains("data-bulk=") && !page.contains("id=\"bulk\""),
        "{page}"
    );
}

#[actix_web::test]
async fn how_it_stands_with_each_is_shown_as_text() {
    let fleet = Fleet::new(password_hash());
    let names = [RICH, HOSTILE].map(|name| EndpointName::new(name).expect("a name"));
    let bulk = BulkOperation {
        id: BulkId(0),
        action: BulkAction::Tag(vec!["lab".into()]),
        requested_by: "<b>ada</b>".into(),
        state: BulkState::Running,
        devices: 0,
        expires_in: None,
        created_at: Timestamp::system(),
        finished_at: None,
    };
    let by = Doer {
        actor: "ada".into(),
        remote: String::new(),
    };
    fleet
        .bulks
        .add(bulk, names.to_vec(), by, None)
        .await
        .expect("added");
    let refused = BulkSettled {
        position: 1,
        state: BulkItemState::Refused,
        operation: None,
        error: Some("it would have <i>65</i> tags".into()),
    };
    fleet
        .bulks
        .settle(BulkId(1), vec![refused])
        .await
        .expect("settled");
    let mut browser = Browser::of("operator", fleet).await;
    for path in ["/", "/devices", "/operations"] {
        let page = browser.get(path).await.text;
        assert!(page.contains("data-bulk-card=\"1\""), "{path}: {page}");
        assert!(
            page.contains("href=\"/operations/bulk/1\""),
            "{path}: {page}"
        );
    }
    let page = browser.get("/operations/bulk/1").await.text;
    for told in [
        "tag lab",
        "for 2 devices",
        "1 of 2 over",
        "1 waiting for their turn",
        "1 not taken",
        "data-cancel-bulk=\"1\"",
        "&lt;b&gt;ada",
        "&lt;i&gt;65",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains("<img src=x"), "{page}");
    let refused = browser.get("/operations/bulk/1?state=REFUSED").await.text;
    assert!(!refused.contains(RICH), "{refused}");
    for (path, status) in [
        ("/operations/bulk/2", StatusCode::NOT_FOUND),
        ("/operations/bulk/x", StatusCode::NOT_FOUND),
        ("/operations/bulk/1?state=lost", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(browser.get(path).await.status, status, "{path}");
    }
}

#[actix_web::test]
async fn the_numbers_of_the_overview_lead_to_their_lists() {
    let fleet = Fleet::new(password_hash());
    let mut browser = Browser::of("viewer", fleet).await;
    let page = browser.get("/").await.text;
    for list in [
        "/devices?state=registered",
        "/devices?state=late",
        "/devices?state=offline",
        "/operations?status=QUEUED",
        "/operations?status=FAILED",
        "/rollouts",
    ] {
        assert!(page.contains(&format!("href=\"{list}\"")), "{list}: {page}");
        let status = browser.get(list).await.status;
        assert_eq!(status, StatusCode::OK, "{list}");
    }
    let queued = browser.get("/operations?status=QUEUED").await.text;
    let waiting = queued.matches(OperationStatus::Queued.name()).count();
    assert!(waiting > 0, "{queued}");
}
