use std::time::Instant;

use crate::support::*;

/// Run it by name with `--ignored --nocapture`; it prints events per second.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn how_fast_the_fold_is() {
    for (name, n_users) in [("heavy buyers", 2_000_usize), ("many people", 50_000)] {
        let world = World::new().await;
        let events: Vec<_> = (0..300_000_usize)
            .map(|i| {
                let person = user(&format!("user-{}", (i.wrapping_mul(2_654_435_761) >> 7) % n_users));
                let bought = format!("item-{}", i.wrapping_mul(40_503) % 5_000);
                with_id(purchase(person, i64::try_from(i).unwrap(), &bought), &format!("event-{i}"))
            })
            .collect();
        for chunk in events.chunks(10_000) {
            world.append(chunk).await;
        }
        let state = memory();
        let started = Instant::now();
        world.fold(&state, 2_000).await;
        let took = started.elapsed();
        println!("{name}: {:.0} events/s over {N_PARTITIONS} partitions", 300_000.0 / took.as_secs_f64());
    }
}
