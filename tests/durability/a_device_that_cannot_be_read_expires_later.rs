//! A registration that the database does not give out after a restart ends all the same, once it does.

use sea_orm::{ConnectionTrait as _, Database};

use crate::support::device::ScriptedDevice;
use crate::support::server::{SOON, Server, eventually};

/// Writes this version of LwM2M into the only registration.
async fn write_version(server: &Server, version: &str) {
    let file = server.data_dir().join("flownexus.db");
    let url = format!("sqlite://{}", file.display());
    let database = Database::connect(url).await.expect("a connection");
    let sql = format!("UPDATE registration SET lwm2m_version = '{version}'");
    let done = database.execute_unprepared(&sql).await.expect("written");
    assert_eq!(done.rows_affected(), 1);
    database.close().await.expect("an orderly end");
}

#[tokio::test]
async fn its_lifetime_is_looked_at_again_until_it_can_be_read() {
    let mut server = Server::setup()
        .setting("registration.restart_grace_s", 0)
        .start()
        .await;
    let mut device = ScriptedDevice::new("broken", server.coap());
    device.register_now(2, "</3/0>");
    // Who reads sees what is in the tables.
    server.api().endpoint("broken").await.expect("registered");
    server.kill();
    write_version(&server, "none").await;
    server.restart().await;
    // When it is told of the templates, and when its lifetime is over or it is looked at again.
    eventually(
        "it could not be read, and then not again",
        SOON,
        async || {
            let failures = server.output().matches("Cannot load broken").count();
            (failures >= 2).then_some(())
        },
    )
    .await;
    write_version(&server, "1.1").await;
    eventually("it has expired", SOON, async || {
        let endpoint = server.api().endpoint("broken").await?;
        (endpoint["registered"] == false).then_some(())
    })
    .await;
}
