//! The dispatcher: pushes of a running command and of its end, in order, without ever holding the command up.

use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pushwrap::delivery::{Dispatcher, LazyPush, Report};
use pushwrap::http::{Deadline, Fault};
use pushwrap::sink::{Method, PushKind};

use super::delivery::{gateway, push};
use super::harness::{FakeGateway, Reply, wait_for};

fn parcel(body: &str) -> LazyPush {
    push(Method::Add, "a", body).into()
}

fn dispatcher(fakes: &[&FakeGateway]) -> Dispatcher {
    Dispatcher::new(fakes.iter().map(|fake| gateway(&fake.url())).collect())
}

fn within(millis: u64) -> Deadline {
    Deadline::after(Duration::from_millis(millis))
}

fn bodies(fake: &FakeGateway) -> Vec<String> {
    fake.requests().iter().map(super::harness::fake::Request::samples).collect()
}

fn finals(reports: &[Report]) -> Vec<&Report> {
    reports.iter().filter(|report| report.kind == PushKind::Final).collect()
}

#[test]
fn completion_is_told_through_a_descriptor() {
    let fake = FakeGateway::start([Reply::ok()]);
    let mut dispatcher = dispatcher(&[&fake]);
    assert!(!dispatcher.busy());
    dispatcher.submit(PushKind::Final, &parcel("x 1\n"), within(5000));
    let mut reports = Vec::new();
    // It is readable once before: when the push has been composed.
    while reports.is_empty() {
        let mut fds = [PollFd::new(dispatcher.fd().unwrap(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(20_000_u16)).unwrap(), 1);
        reports = dispatcher.take();
    }
    assert_eq!((reports.len(), reports[0].gateway, reports[0].kind), (1, 0, PushKind::Final));
    assert!(reports[0].result.as_ref().unwrap().is_ok() && !dispatcher.busy());
    let mut fds = [PollFd::new(dispatcher.fd().unwrap(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO).unwrap(), 0, "what was taken rings no more");
    assert!(dispatcher.take().is_empty());
}

#[test]
fn a_running_push_that_waits_gives_way_to_a_newer_one() {
    let fake = FakeGateway::start([Reply::ok().after(Duration::from_millis(300)), Reply::ok()]);
    let mut dispatcher = dispatcher(&[&fake]);
    dispatcher.submit(PushKind::Heartbeat, &parcel("x 1\n"), within(5000));
    wait_for("the first push", || (fake.connections() == 1).then_some(()));
    for number in 2..5 {
        dispatcher.submit(PushKind::Heartbeat, &parcel(&format!("x {number}\n")), within(5000));
    }
    let reports = dispatcher.wait(within(5000));
    assert_eq!(bodies(&fake), ["x 1\n", "x 4\n"]);
    assert_eq!(reports.len(), 2);
}

#[test]
fn the_final_push_waits_for_the_one_in_flight() {
    let fake = FakeGateway::start([Reply::ok().after(Duration::from_millis(800)), Reply::ok()]);
    let mut dispatcher = dispatcher(&[&fake]);
    dispatcher.submit(PushKind::Heartbeat, &parcel("running 1\n"), within(5000));
    wait_for("the running push", || (fake.connections() == 1).then_some(()));
    let started = Instant::now();
    dispatcher.submit(PushKind::Final, &parcel("running 0\n"), within(5000));
    assert!(started.elapsed() < Duration::from_millis(400), "submitting takes no time");
    let reports = dispatcher.wait(within(5000));
    assert_eq!(bodies(&fake), ["running 1\n", "running 0\n"]);
    assert!(reports.iter().all(|report| report.result.as_ref().unwrap().is_ok()), "{reports:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "an answered push needs no second final one");
}

/// The gateway has read the running push, says nothing, and may still apply it: so the final one is sent again after a moment.
#[test]
fn a_running_push_that_hangs_is_given_up_and_does_not_win() {
    let fake = FakeGateway::start([Reply::NoAnswer, Reply::ok()]);
    let mut dispatcher = dispatcher(&[&fake]);
    dispatcher.submit(PushKind::Heartbeat, &parcel("running 1\n"), within(60_000));
    fake.wait_for_requests(1);
    let started = Instant::now();
    dispatcher.submit(PushKind::Final, &parcel("running 0\n"), within(3000));
    let reports = dispatcher.wait(within(3000));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(bodies(&fake), ["running 1\n", "running 0\n", "running 0\n"]);
    assert!(finals(&reports)[0].result.as_ref().unwrap().is_ok(), "{reports:?}");
    let running = reports.iter().find(|report| report.kind == PushKind::Heartbeat).unwrap();
    assert_eq!(running.result.as_ref().unwrap().as_ref().unwrap_err().fault, Fault::Stopped);
}

#[test]
fn an_interim_push_overtakes_a_hanging_heartbeat() {
    let fake = FakeGateway::start([Reply::Silence, Reply::ok()]);
    let mut dispatcher = dispatcher(&[&fake]);
    dispatcher.submit(PushKind::Heartbeat, &parcel("x 1\n"), within(60_000));
    wait_for("the heartbeat", || (fake.connections() == 1).then_some(()));
    let started = Instant::now();
    dispatcher.submit(PushKind::Stopping, &parcel("x 2\n"), within(10_000));
    fake.wait_for_requests(1);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    // A newer heartbeat may still go out before the final push, never after it.
    dispatcher.submit(PushKind::Heartbeat, &parcel("x 3\n"), within(10_000));
    dispatcher.submit(PushKind::Final, &parcel("x 4\n"), within(10_000));
    dispatcher.wait(within(10_000));
    let bodies = bodies(&fake);
    assert_eq!(bodies.first().unwrap(), "x 2\n", "{bodies:?}");
    assert_eq!(bodies.last().unwrap(), "x 4\n", "{bodies:?}");
}

#[test]
fn one_gateway_that_hangs_delays_no_other() {
    let (hanging, fine) = (FakeGateway::start([Reply::NoAnswer]), FakeGateway::start([Reply::ok()]));
    let mut dispatcher = dispatcher(&[&hanging, &fine]);
    let started = Instant::now();
    dispatcher.submit(PushKind::Final, &parcel("x 1\n"), within(3000));
    fine.wait_for_requests(1);
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    let reports = dispatcher.wait(within(3000));
    let result = |place: usize| reports.iter().find(|report| report.gateway == place).unwrap().result.as_ref().unwrap();
    assert!(result(0).is_err() && result(1).is_ok(), "{reports:?}");
}

#[test]
fn an_order_to_stop_hurries_and_a_second_stops() {
    let fake = FakeGateway::start([Reply::NoAnswer]);
    let mut dispatcher = dispatcher(&[&fake]);
    dispatcher.submit(PushKind::Final, &parcel("x 1\n"), within(30_000));
    fake.wait_for_requests(1);
    let started = Instant::now();
    dispatcher.shorten(Duration::from_millis(300));
    assert_eq!(
        finals(&dispatcher.wait(within(30_000)))[0].result.as_ref().unwrap().as_ref().unwrap_err().fault,
        Fault::Stopped
    );
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());

    dispatcher.submit(PushKind::Final, &parcel("x 2\n"), within(30_000));
    fake.wait_for_requests(2);
    let started = Instant::now();
    dispatcher.stop();
    assert!(finals(&dispatcher.wait(within(30_000)))[0].result.as_ref().unwrap().is_err());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn what_does_not_keep_the_deadline_is_let_go() {
    let fake = FakeGateway::start([Reply::ok()]);
    let mut dispatcher = dispatcher(&[&fake]);
    let slow = LazyPush::new(|| {
        // A file system that hangs.
        thread::sleep(Duration::from_secs(20));
        push(Method::Add, "a", "late 1\n")
    });
    let started = Instant::now();
    let deadline = within(300);
    dispatcher.submit(PushKind::Final, &slow, deadline);
    let reports = dispatcher.wait(deadline);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(
        matches!(reports[0].result.as_ref().unwrap().as_ref().unwrap_err().fault, Fault::Timeout(_)),
        "{reports:?}"
    );
    assert!(!dispatcher.busy());
}

#[test]
fn a_panic_is_a_result() {
    let fake = FakeGateway::start([Reply::ok()]);
    let mut dispatcher = dispatcher(&[&fake, &fake]);
    dispatcher.submit(PushKind::Final, &LazyPush::new(|| panic!("composing failed")), within(5000));
    let reports = dispatcher.wait(within(5000));
    assert_eq!(reports.len(), 2);
    for report in reports {
        assert!(matches!(report.result.unwrap().unwrap_err().fault, Fault::Internal(_)));
    }
    dispatcher.submit(PushKind::Final, &parcel("x 1\n"), within(5000));
    assert!(
        dispatcher.wait(within(5000)).iter().all(|report| report.result.as_ref().unwrap().is_ok()),
        "the threads live on"
    );
}
