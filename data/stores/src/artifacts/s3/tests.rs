use super::*;

/// A configuration that works, but for what a test changes.
fn config(url: &str, endpoint: Option<&str>) -> S3Config {
    S3Config {
        url: Some(url.to_owned()),
        endpoint: endpoint.map(ToOwned::to_owned),
        access_key: Secret::from("access s3cret".to_owned()),
        secret_key: Secret::from("s3cret".to_owned()),
        ..S3Config::default()
    }
}

#[track_caller]
fn refused(config: &S3Config, says: &str) {
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains(says), "\"{error}\" does not say \"{says}\"");
    assert!(!error.contains("s3cret"), "{error}");
}

#[track_caller]
fn place(config: &S3Config, description: &str, endpoint: Option<&str>) {
    let bucket = Bucket::try_from(config).unwrap();
    assert_eq!(bucket.describe(), description);
    assert_eq!(bucket.endpoint.as_deref(), endpoint);
    bucket.client().unwrap();
}

#[test]
fn a_url_names_bucket_and_prefix() {
    place(&config("s3://shop", None), "s3://shop at Amazon S3 in us-east-1", None);
    place(&config("s3://shop/", None), "s3://shop at Amazon S3 in us-east-1", None);
    let minio = Some("https://minio.shop:9000/");
    let address = Some("https://minio.shop:9000");
    place(&config("s3://shop/a/b=c/", minio), "s3://shop/a/b=c at https://minio.shop:9000/", address);
    let before_host = S3Config { path_style: false, ..config("s3://shop/a", minio) };
    place(&before_host, "s3://shop/a at https://minio.shop:9000/", Some("https://shop.minio.shop:9000"));
    for wrong in ["shop", "http://shop", "s3://", "s3:///a", "s3://ab", "s3://Shop", "s3://sh_op/a"] {
        refused(&config(wrong, None), &format!("artifacts.url is \"{wrong}\""));
    }
    for wrong in ["s3://shop/../other", "s3://shop/a//b", "s3://shop/a b", "s3://shop/a?b"] {
        refused(&config(wrong, None), "its prefix must be a path");
    }
    refused(&config("s3://me:s3cret@shop/a", None), "access_key and secret_key");
}

#[test]
fn what_travels_in_the_clear_stays_on_the_machine_unless_somebody_says_so() {
    for loopback in ["http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"] {
        place(&config("s3://shop", Some(loopback)), &format!("s3://shop at {loopback}"), Some(loopback));
    }
    let far = config("s3://shop", Some("http://minio.shop"));
    refused(&far, "endpoint is \"http://minio.shop\", on another machine that needs allow_http = true");
    place(&S3Config { allow_http: true, ..far }, "s3://shop at http://minio.shop", Some("http://minio.shop"));
    for wrong in ["minio.shop:9000", "ftp://minio.shop", "https://", "https://minio.shop?a=s3", "not a url"] {
        refused(&config("s3://shop", Some(wrong)), &format!("artifacts.endpoint is \"{wrong}\""));
    }
    refused(&config("s3://shop", Some("https://me:s3cret@minio.shop")), "access_key and secret_key");
    let before_ip = S3Config { path_style: false, ..config("s3://shop", Some("https://10.0.0.1")) };
    refused(&before_ip, "needs a host name");
}

#[test]
fn keys_are_demanded_and_never_shown() {
    let whole = config("s3://shop", None);
    refused(&S3Config { access_key: Secret::default(), ..whole.clone() }, "artifacts.access_key is not set");
    refused(&S3Config { secret_key: Secret::default(), ..whole.clone() }, "artifacts.secret_key is not set");
    refused(&S3Config { url: None, ..whole.clone() }, "artifacts.url is not set");
    S3Config::default().validate().unwrap();
    let shown = format!("{whole:?} {}", serde_json::to_string(&whole).unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert_eq!(shown.matches("***").count(), 4, "{shown}");
}
