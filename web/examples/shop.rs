//! Runs the shop alone, against any Waggle: `cargo run --release -p waggle-web-role --example shop -- --api URL --port P`.

use actix_web::{App, HttpServer};
use waggle_web_role::{Shop, ShopConfig, configure};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = ShopConfig { forward_events: true, ..ShopConfig::default() };
    let mut port = 8086_u16;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        match name.as_str() {
            "--api" => config.api_base = value,
            "--port" => port = value.parse()?,
            "--name" => config.name = value,
            _ => {
                return Err(
                    format!("unknown option {name}; there are --api URL, --port P and --name NAME").into()
                );
            }
        }
    }
    let shop = Shop::try_new(config)?;
    HttpServer::new(move || App::new().configure(configure(shop.clone())))
        .workers(2)
        .bind(("127.0.0.1", port))?
        .run()
        .await?;
    Ok(())
}
