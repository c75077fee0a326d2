//! Every scenario in the order it runs. Those that need the shop as it was started come first, those that break it last.

mod answers;
mod browser;
mod bucket;
mod catalogue;
mod chaos;
mod failures;
mod input;
mod kill;
mod openapi;
mod powercut;
mod replay;
mod restart;
mod topics;

use super::Scenario;

pub(super) const SCENARIOS: [Scenario; 26] = [
    Scenario {
        name: "start",
        sentence: "a shop on an empty folder is open within a minute",
        run: restart::a_shop_on_an_empty_folder_opens,
    },
    Scenario {
        name: "personal",
        sentence: "a known person gets ten items chosen for them",
        run: answers::a_known_person_gets_ten_items_chosen_for_them,
    },
    Scenario {
        name: "act",
        sentence: "what a person does changes their next answer",
        run: answers::what_a_person_does_changes_their_next_answer,
    },
    Scenario {
        name: "fresh",
        sentence: "a visitor's first click shows in the answer within 100 ms",
        run: answers::a_first_click_shows_in_the_answer_within_100_ms,
    },
    Scenario {
        name: "stranger",
        sentence: "a stranger's page is not empty",
        run: answers::a_strangers_page_is_not_empty,
    },
    Scenario {
        name: "input requests",
        sentence: "a bad request is refused as a problem and the server lives on",
        run: input::a_bad_request_is_refused_as_a_problem,
    },
    Scenario {
        name: "input events",
        sentence: "a bad event is rejected alone and with its reason",
        run: input::a_bad_event_is_rejected_alone,
    },
    Scenario {
        name: "input bytes",
        sentence: "bytes that are not HTTP harm nobody",
        run: input::bytes_that_are_not_http_harm_nobody,
    },
    Scenario {
        name: "lists",
        sentence: "similar, trending, search, catalogue and profile answer",
        run: catalogue::every_list_answers,
    },
    Scenario {
        name: "hide",
        sentence: "a hidden item is gone within a second and comes back",
        run: catalogue::a_hidden_item_is_gone_within_a_second,
    },
    Scenario {
        name: "browser",
        sentence: "a person shops in a browser",
        run: browser::a_person_shops_in_a_browser,
    },
    Scenario {
        name: "restart",
        sentence: "a restart takes seconds and forgets nothing",
        run: restart::a_restart_takes_seconds_and_forgets_nothing,
    },
    Scenario {
        name: "kill",
        sentence: "twenty kill -9 lose no acknowledged event and count none twice",
        run: kill::twenty_kills_lose_nothing_and_count_nothing_twice,
    },
    Scenario {
        name: "replay",
        sentence: "the state is what the log says, and can be made from it again",
        run: replay::the_state_is_what_the_log_says,
    },
    Scenario {
        name: "power",
        sentence: "power cuts and full disks lose no acknowledged event and count none twice",
        run: powercut::power_cuts_lose_nothing,
    },
    Scenario {
        name: "first start",
        sentence: "a first start that is killed goes on where it was",
        run: restart::a_first_start_that_is_killed_goes_on_where_it_was,
    },
    Scenario {
        name: "openapi",
        sentence: "every answer is as the API describes it, whatever is asked",
        run: openapi::every_answer_is_as_described,
    },
    Scenario {
        name: "port",
        sentence: "a port in use is said in one sentence, exit code 1",
        run: failures::a_port_in_use_is_said,
    },
    Scenario {
        name: "usage",
        sentence: "a wrong command line is explained, exit code 2",
        run: failures::a_wrong_command_line_is_explained,
    },
    Scenario {
        name: "version",
        sentence: "a folder of another version is refused, exit code 1",
        run: failures::a_folder_of_another_version_is_refused,
    },
    Scenario {
        name: "damaged snapshot",
        sentence: "a damaged snapshot costs quality and not the shop",
        run: failures::a_damaged_snapshot_costs_quality_and_not_the_shop,
    },
    Scenario {
        name: "lost snapshot",
        sentence: "a snapshot cut short costs quality and not the shop",
        run: failures::a_snapshot_cut_short_costs_quality_and_not_the_shop,
    },
    Scenario {
        name: "broken lines",
        sentence: "broken lines of a data file are counted and left out",
        run: failures::broken_lines_are_counted,
    },
    Scenario {
        name: "bucket",
        sentence: "roles over Kafka, Redis, Postgres and S3 share archive and snapshots, and bear S3 going away",
        run: bucket::archive_and_snapshots_lie_in_a_bucket,
    },
    Scenario {
        name: "topics",
        sentence: "what others write into their topic changes answers, and what did not fit is taken in later",
        run: topics::what_others_write_into_their_topic_changes_answers,
    },
    Scenario {
        name: "chaos",
        sentence: "twenty kills of roles, Kafka and Redis lose no acknowledged event and count none twice",
        run: chaos::twenty_kills_of_roles_kafka_and_redis_lose_nothing,
    },
];
