//! Every command and flag.

use std::{ffi::OsString, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::TypedValueParser as _};
use waggle_model::Timestamp;
use waggle_stores::Position;

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

#[derive(Debug, Clone, Args)]
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
    /// Take items, people or events in from files
    ///
    /// Each record goes through the checks that a request for it goes through; what is refused is written beside the
    /// file with its line and the reason, and makes the exit code 1. An import that was cut off is run again, and each
    /// record counts once. With the embedded stores the server has to be stopped first; it folds what was imported when it
    /// starts.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Write what is stored, a line of JSON each, as `import` takes it
    ///
    /// All that was acknowledged before is there: what the archive lacks is archived first.
    #[command(subcommand)]
    Export(ExportCommand),
    /// Measure recommendations on held-out data
    Evaluate(EvaluateArgs),
    /// Choose a model and its settings on a validation part of what may be learned from
    ///
    /// The search turns one setting at a time to its next value and keeps what is better, within a time that includes the last
    /// fit. Nothing of the test is looked at. `evaluate --budget` searches in the same way and goes on to the test.
    Tune(TuneArgs),
    /// List, inspect and switch published snapshots
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Events that were refused: look at them, send them again
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Public datasets by name
    #[command(subcommand)]
    Data(DataCommand),
    /// Fold the log once more: verify the online state bit for bit, or rebuild it
    ///
    /// What retention has taken from the log is read from the archive.
    Replay(ReplayArgs),
    /// Look at every store and count what it holds
    ///
    /// The embedded default is looked at while no server runs on the folder; Kafka, Redis and Postgres at any time.
    Doctor {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Our own benchmarks, each beside its peer in the same run
    #[command(subcommand)]
    Bench(BenchCommand),
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

impl DataName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OnlineRetail => "online-retail",
            Self::Sim => "sim",
        }
    }
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

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Items as `POST /v1/items` takes them, a line each; or CSV with the names of their fields in its header
    ///
    /// What is no field of an item becomes a property of it.
    Items(ImportItemsArgs),
    /// People as `waggle export users` writes them, a line each
    ///
    /// `{"user_id":"anna","properties":{…},"sessions":[{"session_id":"s-1","timestamp":…}]}`; properties or sessions may
    /// be missing. Import people after events: a merge of today makes what they did before look late.
    /// Whoever was erased is refused: an old file must not bring them back.
    Users(ImportArgs),
    /// Events as `POST /v1/events` takes them, a line each; or CSV; or any records, with a mapping
    ///
    /// They may be of any age. One without `event_id` is named after the file's content and its place there, so that the
    /// same file counts once, also if it has grown since. One without a time has the time of the import.
    Events(ImportEventsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Plain, gzip or zstd; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Where refused records go, as NDJSON [default: FILE.rejected.ndjson]
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CsvArgs {
    /// What the files are [default: csv if the name says .csv or .tsv, else ndjson]
    #[arg(long, value_enum)]
    pub(crate) format: Option<FileFormat>,
    /// What stands between two columns of CSV [default: a tab in .tsv, else a comma]
    #[arg(long, value_name = "CHAR", value_parser = parse_delimiter)]
    pub(crate) delimiter: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    /// A JSON object per line
    Ndjson,
    /// A header with the columns' names, then a record per row
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct ImportItemsArgs {
    #[command(flatten)]
    pub(crate) import: ImportArgs,
    #[command(flatten)]
    pub(crate) csv: CsvArgs,
    /// Which column of CSV holds a field, where it has another name; may be given several times
    #[arg(long = "map", value_name = "FIELD=COLUMN")]
    pub(crate) map: Vec<Pair>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportEventsArgs {
    #[command(flatten)]
    pub(crate) import: ImportArgs,
    #[command(flatten)]
    pub(crate) csv: CsvArgs,
    /// Where a field is found: a column of CSV, or a place in a JSON record like user.id or /user/id; several times
    ///
    /// Columns that have the name of a field need no mapping. JSON records are either events, or mapped field by field.
    #[arg(long = "map", value_name = "FIELD=PLACE")]
    pub(crate) map: Vec<Pair>,
    /// What a field is where a record has no value, such as `type=purchase`; may be given several times
    #[arg(long = "constant", value_name = "FIELD=VALUE")]
    pub(crate) constants: Vec<Pair>,
    /// Our name of one of their types, such as `page_view=view`; may be given several times
    #[arg(long = "type", value_name = "THEIRS=OURS")]
    pub(crate) types: Vec<Pair>,
    /// What becomes of types that are neither known nor mapped [default: reject with --type, else keep]
    #[arg(long, value_enum)]
    pub(crate) unmapped_types: Option<UnmappedTypesArg>,
    /// What a mapped or CSV timestamp holds
    #[arg(long, value_enum, default_value_t = TimeArg::Rfc3339)]
    pub(crate) time: TimeArg,
    /// Do not read the log first for events that it holds already
    ///
    /// For a log of very many events and a file that is surely new: what is in the log counts twice then, unless it is
    /// among the last 65,536 records of its partition.
    #[arg(long)]
    pub(crate) no_lookup: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnmappedTypesArg {
    Reject,
    /// They are passed over
    Skip,
    /// They are history, as far as `ingest.unknown_types` lets them in
    Keep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimeArg {
    Rfc3339,
    /// Seconds since 1970
    #[value(name = "unix_s")]
    UnixS,
    /// Milliseconds since 1970
    #[value(name = "unix_ms")]
    UnixMs,
}

/// `left=right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) left: String,
    pub(crate) right: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((left, right)) if !left.is_empty() && !right.is_empty() => {
                Ok(Self { left: left.to_owned(), right: right.to_owned() })
            }
            _ => Err(format!("\"{text}\" is not of the form left=right")),
        }
    }
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        _ if text == r"\t" => Ok(b'\t'),
        &[byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(byte),
        _ => Err(format!("\"{text}\" is not one ASCII character")),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportCommand {
    /// The catalogue by id, as `POST /v1/items` takes it
    Items(ExportArgs),
    /// People by id: what was told about them, and the sessions that turned out to be theirs; nobody who was erased
    Users(ExportArgs),
    /// Interactions and impressions by time, each once, in the form that `POST /v1/events` takes
    ///
    /// Repetitions are left out by the same rule that the features follow, and so is what was erased.
    Events(ExportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to this file instead of standard output: whole or not at all; .gz and .zst are compressed
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
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
    /// Write a page with the figures and plots to this file; with all protocols but `time` that takes another two or three fits
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) public: PublicDataArgs,
    #[command(flatten)]
    pub(crate) simulator: SimulatorArgs,
}

/// With every protocol but `time`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "With --protocol fixed-split, leave-one-out, strong or cold-items")]
pub(crate) struct PublicDataArgs {
    /// What to learn from, or all there is: lines `user item item …`, plain or gzipped; the oldest item first where the order
    /// counts
    #[arg(
        long,
        value_name = "FILE",
        required_if_eq_any([
            ("protocol", "fixed-split"),
            ("protocol", "leave-one-out"),
            ("protocol", "strong"),
            ("protocol", "cold-items")
        ])
    )]
    pub(crate) train: Option<PathBuf>,
    /// How the lines of all files begin
    #[arg(long, value_enum, default_value_t = ListsForm::Named)]
    pub(crate) form: ListsForm,
    /// Terms of the items, such as tags: lines `item term term …`; with cold-items only
    #[arg(long, value_name = "FILE", required_if_eq("protocol", "cold-items"))]
    pub(crate) content: Option<PathBuf>,
    /// What to ask about, in the same form; with fixed-split only, where a search does without
    #[arg(long, value_name = "FILE")]
    pub(crate) test: Option<PathBuf>,
    /// Users of the test, and as many for validation; with strong only
    #[arg(long, value_name = "USERS", default_value_t = 1_000)]
    pub(crate) held_out: usize,
    #[arg(long, value_enum, default_value_t = ModelName::Slim)]
    pub(crate) model: ModelName,
    /// Settings of the model in place of its defaults, such as `{"l2": 100}`; a search begins with them
    #[arg(long, value_name = "JSON", default_value = "{}", hide_default_value = true)]
    pub(crate) settings: String,
    /// Search settings for so long, the last fit included, such as 90s, 20m or 2h [with auto and for `tune`: 20m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) budget: Option<Duration>,
    /// Keep every trial of the search in this file, and go on from those in it
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListsForm {
    /// With the user: `user item item …`
    Named,
    /// With how many there are, one line for each user in order: `n item item …`
    Counted,
}

/// `90s`, `20m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("a time has a unit: 90s, 20m, 2h".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| format!("\"{number}\" is not a number"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|e| e.to_string())
}

#[derive(Debug, Args)]
pub(crate) struct TuneArgs {
    /// How held-out data is chosen
    #[arg(long, value_enum, default_value_t = Protocol::FixedSplit)]
    pub(crate) protocol: Protocol,
    #[command(flatten)]
    pub(crate) public: PublicDataArgs,
    /// Seed of everything random
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
    /// Write all trials as JSON to this file (`-`: standard output)
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// One moment for everybody: learn from what came before, recommend at it, compare with the four weeks after
    Time,
    /// Two files as somebody published them: one to learn from, one to ask about, over the whole catalogue
    FixedSplit,
    /// One file of sequences: the last item of each is asked about, the last two are not learned from
    LeaveOneOut,
    /// One file: users are held out by chance, and asked about a fifth of their items
    Strong,
    /// One file, and what is said of the items: a tenth of them is held out by chance, and asked about by everybody who has any
    ColdItems,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelName {
    /// The same for everybody
    Popularity,
    /// Item-item by damped cosine
    ItemKnn,
    /// Item-item by Turbo-CF's filter
    TurboCf,
    /// Implicit matrix factorisation
    Ials,
    /// Linear autoencoder over all items: EASE, and by its settings EDLAE, RLAE, RDLAE
    Ease,
    /// Sparse linear autoencoder: every item explained by those it is most often seen with
    Slim,
    /// Nearest neighbours among histories, as among sessions
    VmisKnn,
    /// Self-attention over the sequence of a history, by sampled softmax
    #[value(name = "sasrec")]
    SasRec,
    /// iALS, with a place for items that nobody touched by what is said of them; with --content
    Content,
    /// Cosine of what is said of an item and of the items of the history; with --content
    ContentKnn,
    /// The item with the greatest number first
    Newest,
    /// Several of the others, by `--settings '{"parts": [{"model": "slim", "settings": {}, "weight": 1}, …]}'`
    Blend,
    /// The one that is best on a validation part of what may be learned from
    Auto,
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
pub(crate) enum DeadLettersCommand {
    /// What was refused and not taken in since, the newest last
    List(ListLettersArgs),
    /// Send refused events again, under today's rules
    ///
    /// What is an event by now is taken in, once, and leaves the list; the rest stays and its reason is printed. With the
    /// embedded log the server has to be stopped first, as the log is open in one process only.
    Retry(RetryLettersArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListLettersArgs {
    #[command(flatten)]
    pub(crate) selection: LetterSelection,
    /// At most this many, the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Also those that were taken in since
    #[arg(long)]
    pub(crate) retried: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RetryLettersArgs {
    /// This letter, as `list` names it: partition:offset; may be given several times
    #[arg(long = "position", value_name = "P:O", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) positions: Vec<LetterPosition>,
    /// Every letter that `--reason` and `--since` leave
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) selection: LetterSelection,
    /// Say what would become of them, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LetterSelection {
    /// Only those whose reason contains this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Only those set aside at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse_rfc3339)]
    pub(crate) since: Option<Timestamp>,
}

/// Partition and offset of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LetterPosition(pub(crate) Position);

impl FromStr for LetterPosition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |(partition, offset): (&str, &str)| {
            Some(Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        };
        let position = text.split_once(':').and_then(parse);
        position.map(Self).ok_or_else(|| format!("\"{text}\" is not of the form partition:offset"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Every dataset known by name
    List,
    /// Download a dataset from its publisher, resuming and verifying
    Fetch { name: String },
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Change nothing: compare the live state with what the log says, partition by partition
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print as JSON (with --verify)
    #[arg(long, requires = "verify")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Durable ingest over HTTP, beside bare appends of the same records
    Ingest(BenchIngestArgs),
    /// Answers per second and how long they take, of the whole system in a process of its own
    ///
    /// Imports and trains in a folder of its own under --dir, which later runs use again. Requests come from this
    /// process, on the same processors, for all customers, some of whom (Zipf) come back far more often than others;
    /// other people's events flow meanwhile, every answer is recorded, and the fold goes on.
    Serving(BenchServingArgs),
    /// Searches per second and how long they take, over HTTP; and the text index alone, beside tantivy's own queries
    ///
    /// Served from the same folder as `bench serving`. What is looked for is made of the catalogue's titles: some of their
    /// words, with a typing error, half typed. The last lines are of this process alone, one query after the other: whole
    /// titles with one typing error each, and how often their item is among the first ten.
    Search(BenchSearchArgs),
    /// From an event's acknowledgement to the answer that has seen it
    Freshness(BenchFreshnessArgs),
    /// The online state rebuilt from the log, beside reading the log alone
    Replay(BenchReplayArgs),
    /// The index of items, beside hnswlib and faiss-cpu, which pip installs into a Python environment of this command
    Ann(BenchAnnArgs),
    /// How long models take to fit, beside implicit and scipy, which pip installs; and how much memory
    ///
    /// iALS and implicit are given as many iterations as each needs to the best NDCG@20 that implicit reaches in up to 15. Our
    /// whole fit of EASE stands beside the two routines of LAPACK that it needs at least.
    Training(BenchTrainingArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BenchTrainingArgs {
    /// Pairs of a published split to learn from; Gowalla's in `$WAGGLE_DATA_DIR` by default
    #[arg(long, value_name = "FILE", requires = "test")]
    pub(crate) train: Option<PathBuf>,
    /// What to ask about
    #[arg(long, value_name = "FILE", requires = "train")]
    pub(crate) test: Option<PathBuf>,
    /// Pairs of a simulated market for iALS, to learn from; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    pub(crate) interactions: usize,
    /// Lengths of the factors of iALS; the first one over ever more pairs, too
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "64,128,256", value_parser = clap::value_parser!(u16).range(1..=4_096).map(usize::from))]
    pub(crate) factors: Vec<usize>,
    /// Simulated pairs that iALS is fitted on, each in a process of its own
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1000000,3000000,10000000,30000000"
    )]
    pub(crate) scale: Vec<usize>,
    /// Of our iALS
    #[arg(
        long,
        value_name = "JSON",
        default_value = "{\"unobserved_weight\": 0.02, \"regularization\": 0.005}"
    )]
    pub(crate) settings: String,
    /// Of implicit
    #[arg(long, value_name = "JSON", default_value = "{\"alpha\": 20, \"regularization\": 10}")]
    pub(crate) peer_settings: String,
    /// Items of EASE; all by default
    #[arg(long, value_name = "N")]
    pub(crate) ease_items: Option<usize>,
    /// What is measured; all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<BenchTrainingCase>,
    /// Times that both are timed, in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..).map(usize::from))]
    pub(crate) rounds: usize,
    /// The same of EASE, which takes minutes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..).map(usize::from))]
    pub(crate) ease_rounds: usize,
    /// Seed of everything random
    #[arg(long, value_name = "S", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Where sets and the Python environment are kept for the next run; bench-training under --dir by default
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Fit iALS on a file and say what it took: what this command starts itself with
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) child: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchTrainingCase {
    /// Beside implicit
    Ials,
    /// Beside scipy
    Ease,
    /// By itself
    TurboCf,
    /// iALS over ever more pairs
    Scale,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BenchAnnArgs {
    /// Simulated items
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..).map(|n| n as usize))]
    pub(crate) items: usize,
    /// Dimensions of their vectors
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..=4_096).map(usize::from))]
    pub(crate) dimensions: usize,
    /// People who are asked for
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..).map(|n| n as usize))]
    pub(crate) queries: usize,
    /// Seed of the simulated vectors
    #[arg(long, value_name = "S", default_value_t = 42)]
    pub(crate) seed: u64,
    /// The vectors of the snapshot that serves, and the people its index is measured with, instead of simulated ones
    #[arg(long)]
    pub(crate) own: bool,
    /// Times that every engine is measured, in turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..).map(usize::from))]
    pub(crate) rounds: usize,
    /// The graph of `hnsw_rs` as well, as it is and in our own arrays; it takes minutes to build
    #[arg(long)]
    pub(crate) hnsw_rs: bool,
    /// Where vectors, graphs and the Python environment are kept for the next run; bench-ann under --dir by default
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchIngestArgs {
    /// Events of one round
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub(crate) events: usize,
    /// Events of one request
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=5_000).map(usize::from))]
    pub(crate) batch: usize,
    /// Connections that send at once
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) connections: usize,
    /// Over Kafka: its own tool to print beside, as Kafka's distribution has it (there with .sh) and `cargo xtask services
    /// up` makes it. Left out, with the reason, where it cannot be run
    #[arg(long, value_name = "PROGRAM", default_value = "kafka-producer-perf-test")]
    pub(crate) perf_test: OsString,
    /// Rounds of ours and of the peer, in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..).map(usize::from))]
    pub(crate) rounds: usize,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchServingArgs {
    /// Whose market is served
    #[arg(long, value_enum, default_value_t = DataName::OnlineRetail)]
    pub(crate) data: DataName,
    #[command(flatten)]
    pub(crate) simulator: SimulatorArgs,
    /// Seconds of each case
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    pub(crate) seconds: u16,
    /// Rounds of all cases, in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..).map(usize::from))]
    pub(crate) rounds: usize,
    /// Connections that ask at once, one case each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,8,32", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) connections: Vec<u16>,
    /// Other people's events per second meanwhile
    #[arg(long, value_name = "RATE", default_value_t = 500)]
    pub(crate) background: u32,
    /// The program `serving` of the crate `serenade`, to be measured in the same rounds on the baskets of Online Retail
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) serenade: Option<PathBuf>,
    /// Leave out the swaps of the snapshot, which take some minutes
    #[arg(long)]
    pub(crate) no_swaps: bool,
    /// Leave out NDCG@10 of the same lists on held-out data
    #[arg(long)]
    pub(crate) no_quality: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchSearchArgs {
    /// Whose market is served
    #[arg(long, value_enum, default_value_t = DataName::OnlineRetail)]
    pub(crate) data: DataName,
    #[command(flatten)]
    pub(crate) simulator: SimulatorArgs,
    /// Seconds of each case
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    pub(crate) seconds: u16,
    /// Rounds of all cases, in turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..).map(usize::from))]
    pub(crate) rounds: usize,
    /// Connections that ask at once, one case each
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,8", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) connections: Vec<u16>,
    /// Different queries of each case
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..).map(|n| n as usize))]
    pub(crate) queries: usize,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchFreshnessArgs {
    /// Events that are timed, one after the other
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..).map(|n| n as usize))]
    pub(crate) samples: usize,
    /// Events of other people per second meanwhile
    #[arg(long, value_name = "RATE", default_value_t = 1_000)]
    pub(crate) background: u32,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchReplayArgs {
    /// Simulated events in the log
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..).map(|n| n as usize))]
    pub(crate) events: usize,
    /// Items of the simulated market
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(100..))]
    pub(crate) items: u32,
    /// Seed of the simulated market
    #[arg(long, value_name = "S", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
