//! `waggle data`: public datasets by name.

use anyhow::Result;
use waggle_datasets::{catalogue, descriptor, fetch, find};

use crate::{
    cli::{DataCommand, Global},
    config::Config,
    progress::{Steps, print},
};

pub(super) async fn run(config: &Config, global: &Global, command: DataCommand) -> Result<()> {
    match command {
        DataCommand::List => {
            for dataset in catalogue() {
                let place = find(dataset.name, None, global.data_dir.as_deref(), &config.dir);
                let place = place.map_or_else(
                    |_| format!("not here; `waggle data fetch {}`", dataset.name),
                    |path| path.display().to_string(),
                );
                print(&format!(
                    "{}\n  {}\n  {}, {}\n  cite: {}\n  {place}",
                    dataset.name, dataset.title, dataset.licence, dataset.page, dataset.citation
                ));
            }
            Ok(())
        }
        DataCommand::Fetch { name } => {
            let dataset = descriptor(&name)?;
            let steps = Steps::new();
            steps.begin(&format!("fetch {name}"), 0);
            let place = fetch::fetch(dataset, &config.dir, &|done, total| steps.at(done, total)).await?;
            steps.finish("verified");
            print(&place.display().to_string());
            Ok(())
        }
    }
}
