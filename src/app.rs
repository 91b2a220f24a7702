//! The composition root: the only room that knows every other. It starts them in the order in which
//! data flows up, and ends them in the opposite one.
//!
//! Threads: the *devices* arbiter owns the CoAP socket, the message layer, the registry and every
//! endpoint actor; the store's writer has a thread of its own; the web workers are those of
//! actix-web; this one starts, waits and ends (docs/adr/0001).

mod bulk;
mod demo;
mod downloads;
mod firmware;
mod kept_sessions;
mod lens;
mod rollouts;
mod wire;

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor as _, Addr, AsyncContext as _, Context};
use actix_rt::Arbiter;
use anyhow::Context as _;
use futures_util::stream;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::coap;
use crate::config::Settings;
use crate::domain::{Peer, SessionId, Timestamp};
use crate::endpoint::{self, Wire};
use crate::lens::Lens;
use crate::live::Hub;
use crate::lwm2m::ModelLibrary;
use crate::net::https::Trust;
use crate::net::{Admission, AdmissionCounters, CoapTransport, dtls};
use crate::registry::{Handle, HandshakeRefused, RegistryActor, Surroundings};
use crate::rollout::Nudges;
use crate::security::{Certificates, Keyring, Refusals, Sealer, Vault, certificates};
use crate::store::{
    EndpointReader, FleetLoader as _, LogResourceStore, RuleStore, SessionStore, Shelf, Store,
    TemplateStore,
};
use crate::web::credentials::Credentials;
use crate::web::models::Catalogue;
use crate::web::{self, AppParts, AppState};
use demo::Demo;
use downloads::Downloads;
use firmware::{ImageSource, Places};
use kept_sessions::WitnessFile;
use lens::{LensTap, Watch};
use wire::NetWire;

/// Runs the server until it is told to stop (SIGINT or SIGTERM).
///
/// # Errors
/// Says in one line what keeps it from starting.
pub async fn serve(settings: Settings, demo: usize) -> anyhow::Result<()> {
    let settings = Arc::new(settings);
    let mut metrics = Registry::default();

    let hub = Hub::new(&settings.live);
    hub.counters().register(&mut metrics);
    let (publish, closing) = (hub.clone(), hub.clone());
    let nudges = Nudges::default();
    let store = Store::open(&settings, rollouts::noting(&nudges, publish)).await?;
    store.metrics().register(&mut metrics);
    let models = Arc::new(Catalogue::new(Arc::new(store.clone())));
    load_models(&models).await;
    let firmware = Arc::new(Shelf::new(Arc::new(store.clone()), &settings));
    load_firmware(&firmware).await;

    let certificates = Certificates::open(&settings, Timestamp::system())?;
    certificates.metrics().register(&mut metrics);
    firmware::check_host(&settings.firmware, &certificates.current());

    let stopping = Arc::new(AtomicBool::new(false));
    let keyring = Keyring::default();
    let vault = Vault::open(&settings.data_dir)?;
    let credentials = Credentials::new(
        Arc::new(store.clone()),
        vault.clone(),
        keyring.clone(),
        certificates.devices().clone(),
        &settings.data_dir,
    );
    let credentials = Arc::new(credentials.at_most(settings.credentials.max));
    load_credentials(&credentials).await?;
    let proofs = Proofs {
        keyring,
        certificates: certificates.clone(),
        ticket_keys: vault.derive("dtls session tickets")?,
        session_key: vault.derive("dtls sessions")?,
    };
    let witness = WitnessFile::open(&settings.data_dir)
        .with_context(|| format!("cannot use {}", settings.data_dir.display()))?;
    let library = models.library();
    let lens = Lens::new(&settings.lens);
    lens.register(&mut metrics);
    let places = Arc::new(Places::default());
    let images = ImageSource::new(
        Arc::clone(&firmware),
        settings.firmware.clone(),
        Arc::clone(&places),
    );
    let devices = start_devices(
        &settings,
        &store,
        Served {
            models: library.clone(),
            images,
            lens: lens.clone(),
            hub: hub.clone(),
        },
        proofs,
        &witness,
        &mut metrics,
    )
    .await?;
    for (address, place) in [
        (devices.address, &places.coap),
        (devices.secure_address, &places.coaps),
    ] {
        if let Some(address) = address {
            let _ = place.set(address);
        }
    }
    let rollouts = rollouts::start(
        &settings,
        &store,
        devices.handle.clone(),
        nudges,
        hub.clone(),
        &mut metrics,
    );
    let heartbeat = actix_rt::spawn(heartbeat(
        store.clone(),
        witness,
        Duration::from_secs(settings.store.heartbeat_s.max(1)),
    ));

    let watch = Watch::start(
        &settings,
        lens.clone(),
        hub.clone(),
        Arc::new(store.clone()),
    );

    let reload = actix_rt::spawn(reload_models(
        Arc::clone(&models),
        Duration::from_secs(settings.models.reload_s.max(1)),
    ));

    let firmware_watch = actix_rt::spawn(follow_firmware(
        Arc::clone(&firmware),
        Duration::from_secs(settings.firmware.reload_s.max(1)),
    ));

    let certificate_watch = actix_rt::spawn(certificates::watch(
        certificates.clone(),
        Duration::from_secs(settings.certificates.reload_s.max(1)),
    ));

    let follow = actix_rt::spawn(follow_credentials(
        Arc::clone(&credentials),
        Duration::from_secs(settings.credentials.reload_s.max(1)),
    ));

    let downloads = downloads::files(
        firmware.clone(),
        certificates.clone(),
        devices.handle.clone(),
        &mut metrics,
    );

    let admin_password = web::auth::ensure_admin(&store).await?;
    let cookie_key = web::auth::session_key(&settings.data_dir)
        .with_context(|| format!("cannot use {}", settings.data_dir.display()))?;
    let ready = {
        let (store, stopping) = (store.clone(), Arc::clone(&stopping));
        Arc::new(
            move || -> futures_util::future::BoxFuture<'static, Result<(), String>> {
                let (store, stopping) = (store.clone(), Arc::clone(&stopping));
                Box::pin(async move {
                    if stopping.load(Ordering::Relaxed) {
                        return Err("the server is shutting down".to_owned());
                    }
                    EndpointReader::count(&store)
                        .await
                        .map(drop)
                        .map_err(|error| error.to_string())
                })
            },
        )
    };
    let authorities = Trust::of(certificates.current().ca.clone()).ok();
    let state = actix_web::web::Data::new(AppState::new(AppParts {
        settings: Arc::clone(&settings),
        stores: web::auth::Stores::new(Arc::new(store.clone())),
        devices: Arc::new(devices.handle.clone()),
        rollouts: Arc::new(rollouts),
        bulk_news: bulk::start(&settings, &store, devices.handle.clone(), hub.clone()),
        hub,
        lens,
        coap: (devices.address, devices.secure_address),
        models,
        credentials: Arc::clone(&credentials),
        firmware,
        certificates,
        metrics,
        ready,
        cookie_key,
        totp: Sealer::new(vault.derive("one-time codes")?),
    }));
    let (server, urls) = web::serve(state)?;
    let web = server.handle();
    let server = actix_rt::spawn(server);
    let downloads = Downloads::start(&settings.firmware, downloads)?;
    if let Some(address) = downloads.address() {
        let _ = places.https.set(address);
    }

    announce(&devices, &urls, &downloads, admin_password.as_deref());
    let demo = (demo > 0).then(|| {
        let around = demo::Surroundings {
            plain: devices.address,
            secure: devices.secure_address,
            images: settings.firmware.listen,
            trust: authorities,
            credentials: Arc::clone(&credentials),
            vault,
        };
        Demo::start(demo, around)
    });

    wait_for_the_end().await?;
    tracing::info!("Shutting down");
    stopping.store(true, Ordering::Relaxed);
    if let Some(demo) = demo {
        demo.stop().await;
    }
    closing.close();
    downloads.stop().await?;
    web.stop(true).await;
    server.await.context("the web server panicked")??;
    devices.stop().await;
    watch.stop().await;
    heartbeat.abort();
    reload.abort();
    firmware_watch.abort();
    certificate_watch.abort();
    follow.abort();
    if let Err(error) = credentials.note_uses(Timestamp::system()).await {
        tracing::warn!("Cannot note which credentials were in use: {error}");
    }
    store.close().await;
    Ok(())
}

/// By what peers prove themselves to each other.
struct Proofs {
    keyring: Keyring,
    certificates: Certificates,
    /// Of DTLS session tickets, which outlive the server.
    ticket_keys: Zeroizing<[u8; dtls::TICKET_KEYS]>,
    /// Seals DTLS sessions, which do too.
    session_key: Zeroizing<[u8; dtls::SESSION_KEY]>,
}

/// By what devices are understood, what they fetch, who looks on, and who listens to what becomes of them.
struct Served {
    models: ModelLibrary,
    images: ImageSource,
    lens: Lens,
    hub: Hub,
}

/// The devices arbiter, from outside.
struct Devices {
    arbiter: Arbiter,
    handle: Handle,
    /// Where plain CoAP is served.
    address: Option<SocketAddr>,
    /// Where CoAP over DTLS is served.
    secure_address: Option<SocketAddr>,
    stop: oneshot::Sender<oneshot::Sender<()>>,
}

impl Devices {
    /// Stops reading, lets the actors finish what is on its way to the store, and ends.
    async fn stop(self) {
        let (done, is_done) = oneshot::channel();
        if self.stop.send(done).is_ok() {
            let _ = tokio::time::timeout(DRAIN, is_done).await;
        }
        self.arbiter.stop();
        let _ = actix_rt::task::spawn_blocking(move || self.arbiter.join()).await;
    }
}

/// Loads what is stored, binds the socket and starts the registry on a thread of their own. The
/// first datagram is read after every stored registration and observation is in place.
async fn start_devices(
    settings: &Arc<Settings>,
    store: &Store,
    served: Served,
    proofs: Proofs,
    witness: &WitnessFile,
    metrics: &mut Registry,
) -> anyhow::Result<Devices> {
    let begun = std::time::Instant::now();
    let grace = Duration::from_secs(settings.registration.restart_grace_s);
    let sessions = kept_sessions::take_up(&settings.coaps, store, witness).await?;
    let mut fleet = store.load(grace).await?;
    let now = Timestamp::system();
    let are_sure = settings.registration.follows_proofs_alone();
    fleet.keep_proofs(store.addresses_sure_since(now, are_sure).await?, now);
    let templates = TemplateStore::list(store).await?;
    let rules = RuleStore::list(store).await?;
    let log_resources = LogResourceStore::list(store).await?;
    if !fleet.registered.is_empty() {
        tracing::info!(
            registrations = fleet.registered.len(),
            busy = fleet.busy.len(),
            downtime_s = fleet.downtime.as_secs(),
            "Going on with {} registrations after {} s",
            fleet.registered.len(),
            fleet.downtime.as_secs(),
        );
    }

    let counters = coap::Counters::default();
    counters.register(metrics);
    let admission = AdmissionCounters::default();
    admission.register(metrics);
    let echo_key = random_key().context("the system has no random numbers")?;
    let dtls_counters = dtls::Counters::default();
    dtls_counters.register(metrics);
    let actor_metrics = endpoint::Metrics::default();
    actor_metrics.register(metrics);

    let arbiter = Arbiter::new();
    let (started, has_started) = oneshot::channel();
    let (stop, is_stopped) = oneshot::channel::<oneshot::Sender<()>>();
    let (writer, loader) = (Arc::new(store.clone()), Arc::new(store.clone()));
    let settings = Arc::clone(settings);
    let Served {
        models,
        images,
        lens,
        hub,
    } = served;
    let refusals = Refusals::new(settings.registration.max_refusals);
    refusals.register(metrics);
    let noted = refusals.clone();
    arbiter.spawn_fn(move || {
        let Proofs {
            keyring,
            certificates,
            ticket_keys,
            session_key,
        } = proofs;
        let registry: Rc<OnceCell<Addr<RegistryActor>>> = Rc::default();
        let told = Rc::clone(&registry);
        let on_refused = move |refused: dtls::Refused| {
            if let Some(registry) = told.get() {
                // When it is too busy, one refusal more or less does not matter.
                let _ = registry.try_send(HandshakeRefused {
                    claimed: refused.claimed,
                    peer: Peer::dtls(refused.address, SessionId::default()),
                    reason: refused.refusal.to_string(),
                });
            }
        };
        let dtls = settings.coaps.enabled.then(|| dtls::Parts {
            keyring: keyring.clone(),
            certificates: certificates.current(),
            ticket_keys,
            keeping: sessions.map(|sessions| dtls::KeptSessions {
                keeper: Rc::new(kept_sessions::SessionKeeper::new(writer.clone())),
                key: session_key,
                sessions,
            }),
            counters: dtls_counters,
            amplification: settings.admission.amplification as usize,
            on_refused: Box::new(on_refused),
        });
        let transport = match CoapTransport::serve(&settings, counters, seed(), dtls) {
            Ok(transport) => transport,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let now = std::time::Instant::now();
        transport.guard(Admission::new(
            &settings.admission,
            admission,
            echo_key,
            now,
        ));
        if lens.is_on() {
            transport.tap(Rc::new(LensTap(lens.clone())));
        }
        let (events, has_events) = mpsc::channel(EVENT_BATCHES);
        let wire: Rc<dyn Wire> = Rc::new(NetWire::new(transport.clone(), lens));
        let around = Surroundings {
            wire,
            writer,
            loader,
            models,
            firmware: images.shelf(),
            images: Rc::new(images),
            keyring,
            refusals: noted,
            templates,
            rules,
            log_resources,
            fleet,
            metrics: actor_metrics,
        };
        let actor = RegistryActor::new(&settings, around);
        let address = RegistryActor::create(|ctx: &mut Context<RegistryActor>| {
            ctx.add_stream(stream::unfold(has_events, async |mut events| {
                events.recv().await.map(|batch| (batch, events))
            }));
            actor
        });
        let _ = registry.set(address.clone());
        let addresses = (transport.address(), transport.secure_address());
        actix_rt::spawn(follow_certificates(transport.clone(), certificates));
        let reading = transport.clone();
        actix_rt::spawn(reading.run(events));
        actix_rt::spawn(async move {
            if let Ok(done) = is_stopped.await {
                transport.stop();
                // What was read already is committed and answered within this time.
                tokio::time::sleep(LAST_ANSWERS).await;
                let _ = done.send(());
            }
        });
        let _ = started.send(Ok((address, addresses)));
    });
    let (registry, (address, secure_address)) =
        has_started.await.context("the devices arbiter died")??;
    tracing::debug!(
        "Devices are served after {} ms",
        begun.elapsed().as_millis()
    );
    let store = Arc::new(store.clone());
    let handle = Handle::new(registry, store, refusals, hub);
    Ok(Devices {
        arbiter,
        handle,
        address,
        secure_address,
        stop,
    })
}

/// What scripts and people look for on standard output. Whoever closed it is not interested.
fn announce(
    devices: &Devices,
    web: &[String],
    downloads: &Downloads,
    admin_password: Option<&str>,
) {
    use std::fmt::Write as _;
    use std::io::Write as _;
    let mut text = String::new();
    for url in web {
        let _ = writeln!(text, "dashboard: {url}");
    }
    if let Some(address) = downloads.address() {
        let _ = writeln!(text, "firmware: https://{address}");
    }
    if let Some(address) = devices.secure_address {
        let _ = writeln!(text, "coaps: {address}");
    }
    if let Some(address) = devices.address {
        let _ = writeln!(text, "coap: {address}");
    }
    if let Some(password) = admin_password {
        let _ = writeln!(text, "admin password: {password}");
        let _ = writeln!(text, "(log in as `admin`; the password is shown this once)");
    }
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Where a server that listens on this address is reached from its own machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr};
    let ip = match listen.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Has DTLS use other certificates as soon as they are in force.
async fn follow_certificates(transport: CoapTransport, certificates: Certificates) {
    let mut changes = certificates.changes();
    while changes.changed().await.is_ok() {
        if let Err(error) = transport.use_certificates(certificates.current()) {
            tracing::error!("Going on with the certificates from before: {error}");
        }
    }
}

/// What has to be done now and then: say that the server is alive, clear away ended sessions.
async fn heartbeat(store: Store, witness: WitnessFile, every: Duration) {
    let mut prune_at = tokio::time::Instant::now();
    loop {
        let now = Timestamp::system();
        match store.heartbeat(now).await {
            Ok(number) => {
                if let Err(error) = witness.note(number) {
                    tracing::warn!(
                        "Cannot note in the data folder that the server is alive: {error}"
                    );
                }
            }
            Err(error) => tracing::warn!("Cannot note that the server is alive: {error}"),
        }
        if prune_at <= tokio::time::Instant::now() {
            prune_at += PRUNE_INTERVAL;
            if let Err(error) = SessionStore::prune(&store, Timestamp::system()).await {
                tracing::warn!("Cannot clear away ended sessions: {error}");
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// Puts the uploaded models into force before the first device is heard. Whatever is wrong with
/// them, the built-in ones are there.
async fn load_models(models: &Catalogue) {
    if let Err(error) = models.refresh().await {
        tracing::error!("Going on with the built-in object models alone: {error}");
    }
}

/// Notices what `flownexus models import` stored beside this server.
async fn reload_models(models: Arc<Catalogue>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match models.refresh().await {
            Ok(false) => {}
            Ok(true) => tracing::info!("The uploaded object models have changed"),
            Err(error) => tracing::warn!("Cannot look for new object models: {error}"),
        }
    }
}

/// Makes the firmware images ready for devices. Without them the server has other things to do.
async fn load_firmware(firmware: &Shelf) {
    if let Err(error) = firmware.reload().await {
        tracing::error!("Going on without the firmware images for now: {error}");
    }
}

/// Notices what `flownexus firmware` changed beside this server.
async fn follow_firmware(firmware: Arc<Shelf>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match firmware.reload().await {
            Ok(false) => {}
            Ok(true) => tracing::info!("The firmware images have changed"),
            Err(error) => tracing::warn!("Cannot look for changed firmware images: {error}"),
        }
    }
}

/// Puts the credentials of the devices into force before the first device is heard; without one of them
/// the server does not start.
async fn load_credentials(credentials: &Credentials) -> anyhow::Result<()> {
    let count = credentials.load().await?;
    if count > 0 {
        tracing::info!(credentials = count, "{count} credentials are in force");
    }
    Ok(())
}

/// Notices what `flownexus credential` changed beside this server, and notes which credentials were used.
async fn follow_credentials(credentials: Arc<Credentials>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match credentials.refresh().await {
            Ok(false) => {}
            Ok(true) => tracing::info!("The credentials of devices have changed"),
            Err(error) => tracing::warn!("Cannot look for changed credentials: {error}"),
        }
        if let Err(error) = credentials.note_uses(Timestamp::system()).await {
            tracing::warn!("Cannot note which credentials were in use: {error}");
        }
    }
}

async fn wait_for_the_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| Timestamp::system().as_millis().unsigned_abs())
}

fn random_key() -> Result<[u8; 32], getrandom::Error> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    Ok(key)
}

/// Batches of events between the socket's task and the registry.
const EVENT_BATCHES: usize = 4;
/// How often the simulated devices of the demo notify.
const DEMO_INTERVAL: Duration = Duration::from_secs(2);
/// How often ended sessions are cleared away.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
/// How long the actors get to finish at the end.
const DRAIN: Duration = Duration::from_secs(5);
const LAST_ANSWERS: Duration = Duration::from_millis(200);
