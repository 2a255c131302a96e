//! The program `loyalty`: serves the pages, to this machine or a street. Any other server of files does as well.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use axum::{
    Router,
    http::{HeaderValue, header::CACHE_CONTROL},
};
use clap::Parser;
use loyalty::street::{Street, StreetError};
use tower_http::{services::ServeDir, set_header::SetResponseHeaderLayer};

/// Serve the pages of a loyalty programme: shop.html for tablets, wallet.html for customers
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Directory with the pages, made by scripts/loyalty.sh; street.json must be in it
    #[arg(default_value = "target/loyalty")]
    pages: PathBuf,
    /// Address to listen on. Browsers permit what the pages need on this machine and over https only: for other
    /// machines, put a proxy that ends TLS before it
    #[arg(
        long,
        env = "LOYALTY_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8088"
    )]
    listen: SocketAddr,
}

/// Why the pages are not served.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot read {path}: {source}; build the pages with scripts/loyalty.sh")]
    Pages {
        path: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Street(#[from] StreetError),
    #[error("cannot listen on {0}: {1}; choose another address with --listen")]
    Listen(SocketAddr, std::io::Error),
    #[error("the server failed: {0}")]
    Serve(std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("loyalty: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(Cli { pages, listen }: Cli) -> Result<(), Failure> {
    let shop = pages.join("shop.html");
    std::fs::metadata(&shop).map_err(|source| Failure::Pages {
        path: shop.display().to_string(),
        source,
    })?;
    match std::fs::read_to_string(pages.join("street.json")) {
        Ok(file) => {
            let Street { name, shops, .. } = Street::parse(&file)?;
            eprintln!("{name}: {} shops", shops.len());
        }
        Err(_) => eprintln!(
            "There is no street.json yet: open shop.html on each tablet to make the shops' cards."
        ),
    }
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .map_err(|error| Failure::Listen(listen, error))?;
    println!(
        "http://{}/shop.html",
        listener.local_addr().map_err(Failure::Serve)?
    );
    // Pages are asked for anew each time: a street whose tablets run different versions does not agree.
    let fresh =
        SetResponseHeaderLayer::overriding(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let router = Router::new()
        .fallback_service(ServeDir::new(pages))
        .layer(fresh);
    axum::serve(listener, router).await.map_err(Failure::Serve)
}
