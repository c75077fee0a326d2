//! `waggle export`: what is stored, for other programs. Works beside running services, except on the
//! embedded default, whose folder one process works on alone.

use std::io::{self, BufWriter, Write};

use anyhow::{Context, Result};
use waggle_model::{Event, wire::WireEvent};
use waggle_stores::Topic;

use crate::{cli::ExportCommand, config::Config, stores::Stores, training::archived_events};

pub(super) async fn run(config: &Config, command: ExportCommand) -> Result<()> {
    let stores = Stores::for_command(config)?;
    let exported = match command {
        ExportCommand::Events => events(&stores).await,
    };
    stores.close().await?;
    exported
}

async fn events(stores: &Stores) -> Result<()> {
    let n_partitions = stores.log().await?.n_partitions(Topic::Events);
    let events = archived_events(stores.artifacts().await?, &stores.database().await?, n_partitions).await?;
    match write(&events, BufWriter::new(io::stdout().lock())) {
        // Whoever reads has seen enough, `head` for example.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the events cannot be written"),
    }
}

fn write(events: &[Event], mut to: impl Write) -> io::Result<()> {
    for event in events.iter().filter_map(WireEvent::of) {
        serde_json::to_writer(&mut to, &event)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}
