//! An operator uploads an image and updates the simulated device of the demo on its page, and reads there what happens
//! until the new version runs, without loading the page again.

use crate::support::browser::Browser;

use super::demo::Demo;

#[tokio::test]
async fn a_device_is_updated_and_its_timeline_tells_so() {
    let Some(browser) = Browser::start("a_device_is_updated_and_its_timeline_tells_so").await
    else {
        return;
    };
    let demo = Demo::start();
    demo.log_in(&browser).await;
    browser.open(&format!("{}/firmware", demo.address)).await;
    browser
        .text("#updates", |text| {
            text.contains("No device was updated yet")
        })
        .await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("demo-v7.8.9.bin");
    let mut image = b"flownexus-image 7.8.9\n".to_vec();
    image.extend((0..200_000_u32).map(|at| (at * 31 % 253) as u8));
    std::fs::write(&file, image).expect("written");
    let choose = browser.element("#file").await;
    choose
        .send_keys(file.display().to_string())
        .await
        .expect("a file");
    browser.press("#upload").await;
    browser.element("[data-version='7.8.9']").await;

    let page = demo.find_device(&browser).await;
    browser.open(&page).await;
    browser
        .text("#update-image", |text| text.contains("7.8.9"))
        .await;
    browser.script("window.neverLoadedAgain = true").await;
    browser.press("#update-form [type=submit]").await;
    let reason = browser
        .text("#firmware-reason", |text| text.contains("it runs 7.8.9"))
        .await;
    assert!(reason.contains("5/0/5 = 1"), "{reason}");
    let told = "return document.querySelector('#firmware-timeline').textContent";
    let told = browser.script(told).await.to_string();
    for line in [
        "admin asks for 7.8.9",
        "the device took the URI (5/0/1)",
        "the device says that it is DOWNLOADED",
        "the device registered again",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let kept = browser
        .script("return window.neverLoadedAgain === true")
        .await;
    assert_eq!(kept, true, "the page was loaded again");

    // The list of the whole fleet says so too, and the form is there for the next one.
    browser.element("#update-form").await;
    browser.open(&format!("{}/firmware", demo.address)).await;
    let listed = browser
        .text("#updates", |text| text.contains("success"))
        .await;
    assert!(listed.contains("it runs 7.8.9"), "{listed}");
    browser.close().await;
}
