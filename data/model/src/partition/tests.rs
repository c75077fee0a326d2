use super::*;

/// The values of Kafka's own test of `Utils.murmur2`.
#[test]
fn murmur2_agrees_with_the_java_client() {
    for (key, expected) in [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ] {
        assert_eq!(murmur2(key.as_bytes()).cast_signed(), expected, "{key}");
    }
    assert_eq!(partition_of(b"foobar", 1), 0);
}
