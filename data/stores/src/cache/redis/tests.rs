use super::*;

#[test]
fn pauses_double_to_their_limit_and_one_request_tries_after_each() {
    let (circuit, mut now) = (Circuit::default(), Instant::now());
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let pause = circuit.pass(now).expect("one request may try");
        if !pauses.is_empty() {
            circuit.pass(now).expect_err("a second one waits for the first");
        }
        circuit.open(now, pause);
        circuit.pass(now + pause - Duration::from_millis(1)).expect_err("the pause is not over");
        now += pause;
        pauses.push(pause.as_millis());
    }
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    circuit.pass(now).expect("one request may try");
    circuit.close();
    for _ in 0..3 {
        assert_eq!(circuit.pass(now).expect("closed"), PAUSE[0]);
    }
}

#[test]
fn failures_that_were_under_way_together_count_as_one() {
    let (circuit, now) = (Circuit::default(), Instant::now());
    let pauses = [(); 20].map(|()| circuit.pass(now).expect("closed"));
    pauses.into_iter().for_each(|pause| circuit.open(now, pause));
    circuit.pass(now + PAUSE[0]).expect("the first pause is over");
}
