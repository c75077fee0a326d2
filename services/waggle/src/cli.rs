//! Every command and flag.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The command was called wrongly in a way that only shows after parsing; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Self-hosted recommendations: events in, personal lists out, in milliseconds.
#[derive(Debug, Parser)]
#[command(
    name = "waggle",
    version,
    propagate_version = true,
    after_help = "Start with `waggle demo`: it imports real invoices, learns from them and opens a shop on \
                  http://127.0.0.1:8080."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Configuration file [default: ./waggle.toml if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for all state of the embedded default [default: ./waggle-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Folder with public datasets, searched before anything is downloaded
    #[arg(long, global = true, value_name = "DIR", env = "WAGGLE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or a filter such as `waggle_gateway_role=debug`
    #[arg(long, global = true, value_name = "FILTER", env = "WAGGLE_LOG", default_value = "warn")]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process on real data: import, learn, and open a shop
    Demo(DemoArgs),
    /// Run roles as services
    Serve(ServeArgs),
    /// Learn from the archive and publish a snapshot
    Train(TrainArgs),
    /// Measure recommendations on held-out data
    Evaluate(EvaluateArgs),
    /// List, inspect and switch published snapshots
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Public datasets by name
    #[command(subcommand)]
    Data(DataCommand),
    /// Print the configuration in force
    Config,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where the data comes from
    #[arg(long, value_enum, default_value_t = DataName::OnlineRetail)]
    pub(crate) data: DataName,
    /// Folder or file of the dataset, instead of looking for it
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Option<PathBuf>,
    /// Port of the shop and the API on this machine [default: 8080]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    #[command(flatten)]
    pub(crate) simulator: SimulatorArgs,
}

/// Size of the simulated market; only with `--data sim`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SimulatorArgs {
    /// Items of the simulated market [default: 2000]
    #[arg(long, value_name = "N")]
    pub(crate) items: Option<u32>,
    /// Shoppers of the simulated market [default: 5000]
    #[arg(long, value_name = "N")]
    pub(crate) users: Option<u32>,
    /// Seed of the simulated market and of training
    #[arg(long, value_name = "S", default_value_t = 42)]
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataName {
    /// Two years of a British gift shop: a million invoice lines (UCI, CC BY 4.0)
    OnlineRetail,
    /// The market simulator: any size, with known tastes
    Sim,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Roles to run in this process
    #[arg(value_enum, default_value = "all")]
    pub(crate) roles: Vec<RoleName>,
    /// Port on this machine [default: 8080 with the gateway, else 8081 with ingest, else 8082]
    #[arg(long)]
    pub(crate) port: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum RoleName {
    /// Every role, in one process
    All,
    /// Takes events to the log
    Ingest,
    /// Folds the log into the online state and archives it
    Features,
    /// Answers: the public API with retrieval, ranking, catalogue and shop
    Gateway,
}

impl RoleName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Ingest => "ingest",
            Self::Features => "features",
            Self::Gateway => "gateway",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Publish without serving it
    #[arg(long)]
    pub(crate) no_promote: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// How held-out data is chosen
    #[arg(long, value_enum, default_value_t = Protocol::Time)]
    pub(crate) protocol: Protocol,
    #[arg(long, value_enum, default_value_t = DataName::OnlineRetail)]
    pub(crate) data: DataName,
    /// Folder or file of the dataset, instead of looking for it
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Option<PathBuf>,
    /// Write the whole report as JSON to this file (`-`: standard output)
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) simulator: SimulatorArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// One moment for everybody: learn from what came before, recommend at it, compare with the four weeks after
    Time,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Every published snapshot, newest first
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// One snapshot with its settings and figures
    Show { version: String },
    /// Serve this snapshot from now on
    Promote { version: String },
    /// Serve the snapshot that was served before
    Rollback,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Every dataset known by name
    List,
    /// Download a dataset from its publisher, resuming and verifying
    Fetch { name: String },
}
