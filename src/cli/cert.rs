//! `cert`: the CA, and the certificates of servers and devices.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::domain::{EndpointName, Timestamp};
use crate::security::certificates::{
    AltName, Authority, Description, DeviceKey, Folder, Issued, Lifetime, check_no_server,
    describe_file, key_pair,
};

/// Arguments of `cert`.
#[derive(Args, Debug)]
pub(super) struct CertArgs {
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Debug, Subcommand)]
enum CertCommand {
    /// Make a CA: `ca.crt` for everybody, `ca.key` to be kept away from everybody
    Ca {
        /// The folder for both files; made when it is not there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Its name, up to 64 characters; without one, "flownexus CA" and a random number
        #[arg(long, value_name = "CN", value_parser = common_name)]
        name: Option<String>,
        /// For how many days it is valid; devices carry its certificate and are hard to reach
        #[arg(long, default_value = "7300", value_parser = lifetime)]
        days: Lifetime,
        /// Replace files that are there: what the old CA has signed is worth nothing then
        #[arg(long)]
        force: bool,
    },
    /// Make the certificate of a device, `NAME.crt` and `NAME.key`
    Device(DeviceArgs),
    /// Make a key for a device without a certificate: `NAME.key` for the device, `NAME.pub` for
    /// `credential add NAME --rpk`
    Key {
        /// The endpoint name with which the device registers
        #[arg(long, value_name = "NAME", value_parser = endpoint_name)]
        endpoint: EndpointName,
        /// The folder for both files; made when it is not there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Replace files that are there
        #[arg(long)]
        force: bool,
    },
    /// Sign a certificate again: same key, same names, new dates. For the CA's own certificate too;
    /// what it has signed stays valid
    Renew {
        /// The certificate; the file is replaced
        file: PathBuf,
        /// The folder with `ca.crt` and `ca.key`
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// For how many days it is valid from now on; as many as before when absent
        #[arg(long, value_parser = lifetime)]
        days: Option<Lifetime>,
    },
    /// Make the certificate of a server, `server.crt` and `server.key`
    Server {
        /// The folder with `ca.crt` and `ca.key`
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// A host name or IP address under which the server is reached; may be given several times
        #[arg(long = "host", value_name = "NAME_OR_IP", required = true, value_parser = AltName::host)]
        hosts: Vec<AltName>,
        /// The folder for both files; made when it is not there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// For how many days it is valid; the clients of the web accept 825 at the most
        #[arg(long, default_value = "825", value_parser = lifetime)]
        days: Lifetime,
        /// Replace files that are there
        #[arg(long)]
        force: bool,
    },
    /// Say what is in a certificate: names, serial number, dates, days that are left
    Show {
        /// A PEM file with one or more certificates, or a DER file with one
        file: PathBuf,
    },
}

#[derive(Args, Debug)]
struct DeviceArgs {
    /// The folder with `ca.crt` and `ca.key`
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// The endpoint name with which the device registers
    #[arg(long, value_name = "NAME", value_parser = endpoint_name)]
    endpoint: EndpointName,
    /// The folder for the files; made when it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Sign the key of this request (PKCS #10), so that it never leaves the device
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Write `NAME.crt.der`, `NAME.key.der` and `ca.crt.der` too, for devices that read no PEM
    #[arg(long)]
    der: bool,
    /// For how many days it is valid
    #[arg(long, default_value = "3650", value_parser = lifetime)]
    days: Lifetime,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: CertArgs) -> anyhow::Result<()> {
    let now = Timestamp::system();
    match args.command {
        CertCommand::Ca {
            out,
            name,
            days,
            force,
        } => {
            let folder = Folder::new(out, force);
            say(
                &Authority::create(&folder, name.as_deref(), days, now)?,
                now,
            );
        }
        CertCommand::Device(args) => device(args, now)?,
        CertCommand::Key {
            endpoint,
            out,
            force,
        } => {
            for file in key_pair(&Folder::new(out, force), &endpoint)? {
                println!("{}", file.display());
            }
        }
        CertCommand::Renew { file, ca, days } => {
            say(&authority(&ca)?.renew_file(&file, days, now)?, now);
        }
        CertCommand::Server {
            ca,
            hosts,
            out,
            days,
            force,
        } => {
            let folder = Folder::new(out, force);
            say(&authority(&ca)?.server(&folder, &hosts, days, now)?, now);
        }
        CertCommand::Show { file } => {
            let shown: Vec<String> = describe_file(&file)?
                .iter()
                .map(|certificate| format!("{certificate} ({})", left(certificate, now)))
                .collect();
            println!("{}", shown.join("\n\n"));
        }
    }
    Ok(())
}

fn device(args: DeviceArgs, now: Timestamp) -> anyhow::Result<()> {
    let folder = Folder::new(args.out, args.force);
    let key = args.csr.map_or(DeviceKey::New, DeviceKey::Request);
    check_no_server(&args.ca, &args.endpoint)?;
    let issued =
        authority(&args.ca)?.device(&folder, &args.endpoint, &key, args.der, args.days, now)?;
    say(&issued, now);
    Ok(())
}

fn authority(folder: &Path) -> anyhow::Result<Authority> {
    Authority::load(folder).with_context(|| format!("no CA in {} can sign", folder.display()))
}

/// The files on standard output, one a line, so that scripts can take them; the rest is for people.
fn say(issued: &Issued, now: Timestamp) {
    for file in &issued.files {
        println!("{}", file.display());
    }
    let made = &issued.description;
    let names: Vec<String> = made.alt_names.iter().map(AltName::to_string).collect();
    let also = if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join(", "))
    };
    eprintln!("{}{also}, serial number {}", made.subject, made.serial);
    eprintln!("valid until {} ({})", made.ends, left(made, now));
    if issued.ends_with_ca {
        eprintln!("note: it ends with its CA, before the days that were asked for");
    }
    if issued.without_common_name {
        eprintln!(
            "note: the name has more than 64 characters; it stands in subjectAltName only, and the \
             subject is empty"
        );
    }
}

fn left(certificate: &Description, now: Timestamp) -> String {
    match certificate.days_left(now) {
        days if days < 0 => "has ended".to_owned(),
        1 => "1 day left".to_owned(),
        days => format!("{days} days left"),
    }
}

fn endpoint_name(text: &str) -> Result<EndpointName, crate::domain::InvalidName> {
    EndpointName::new(text)
}

fn common_name(text: &str) -> Result<String, String> {
    match text.chars().count() {
        1..=64 if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => Err("1 to 64 characters, no control characters".to_owned()),
    }
}

fn lifetime(text: &str) -> Result<Lifetime, String> {
    match text.parse() {
        Ok(days) if (1..=Lifetime::MAX_DAYS).contains(&days) => Ok(Lifetime::days(days)),
        _ => Err(format!("a number of days from 1 to {}", Lifetime::MAX_DAYS)),
    }
}
