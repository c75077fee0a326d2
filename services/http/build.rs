//! Takes the files of Swagger UI that `/docs` needs out of the crate that carries all of it, each compressed with gzip.

use std::{env, fs::File, io, path::Path};

use flate2::{Compression, write::GzEncoder};

const FILES: [&str; 3] = ["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = env::var_os("OUT_DIR").expect("cargo names a folder for what build scripts write");
    let mut archive = zip::ZipArchive::new(io::Cursor::new(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED))?;
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    for file in FILES {
        // The one folder above has the version's name.
        let is_wanted = |name: &&String| name.split('/').skip(1).eq(["dist", file]);
        let name = names.iter().find(is_wanted).expect("Swagger UI has this file in its distribution");
        let gz = File::create(Path::new(&out).join(format!("{file}.gz")))?;
        let mut gz = GzEncoder::new(gz, Compression::best());
        io::copy(&mut archive.by_name(name)?, &mut gz)?;
        gz.finish()?;
    }
    Ok(())
}
