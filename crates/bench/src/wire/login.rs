//! From the login to traffic in force, beyond the password hash.

use std::time::Instant;

use fseg_admission::{HashParams, hash_password, verify_password};
use fseg_scenes::SceneError;
use fseg_scenes::office::{Office, PASSWORD, ROUTER};

use super::Told;
use crate::report::{figure, ms, percentile};

const TIMES: usize = 60;

pub(crate) fn measure(office: &Office<'_>, present: usize) -> Told {
    let dev = office.endpoint("dev-1")?.namespace();
    let mut took = Vec::new();
    let mut pings = Vec::new();
    let git = super::address(office, "git-1")?;
    for _ in 0..TIMES {
        let page = dev.curl(&["-sL", &format!("http://{ROUTER}/")])?.check()?.stdout;
        let token = |page: &str| {
            page.split("name=\"token\" value=\"").nth(1).and_then(|r| r.split('"').next().map(ToOwned::to_owned))
        };
        if let Some(t) = token(&page) {
            // Logged in: the page has a button to log out.
            dev.curl(&[
                "-s",
                "-o",
                "/dev/null",
                "--data-urlencode",
                &format!("token={t}"),
                &format!("http://{ROUTER}/logout"),
            ])?
            .check()?;
        }
        let page = dev.curl(&["-sL", "http://www.example.com/"])?.check()?.stdout;
        let t = token(&page).ok_or_else(|| SceneError::wrong(format!("the portal did not come up: {page}")))?;
        let fields = [format!("token={t}"), "lang=en".into(), "account=dev-1".into(), format!("password={PASSWORD}")];
        let url = format!("http://{ROUTER}/login");
        let mut args = vec!["-s", "-o", "/dev/null", "-w", "%{http_code} %{time_total}"];
        for f in &fields {
            args.extend(["--data-urlencode", f.as_str()]);
        }
        args.push(&url);
        let out = dev.curl(&args)?.check()?.stdout;
        let (code, seconds) = out.trim().split_once(' ').ok_or_else(|| SceneError::wrong(out.clone()))?;
        if !code.starts_with(['2', '3']) {
            return Err(SceneError::wrong(format!("the login was refused with status {code}")));
        }
        took.push(seconds.parse::<f64>().map_err(|e| SceneError::wrong(e.to_string()))? * 1e3);
        // In force means: the very next packet passes.
        pings.push(dev.exec(&["ping", "-c", "1", "-W", "1", &git])?.ok());
    }
    let hash = hash_password(PASSWORD, [7; 16], HashParams::default()).map_err(|e| SceneError::wrong(e.to_string()))?;
    let mut hashing: Vec<f64> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            assert!(verify_password(&hash, PASSWORD));
            ms(begun.elapsed())
        })
        .collect();
    let hashed = percentile(&mut hashing, 50);
    let note =
        format!("{present} endpoints present, {TIMES} logins; the whole request less {hashed:.1} ms of password hash");
    figure("login", "login to traffic in force, median", percentile(&mut took, 50) - hashed, "ms", &note);
    figure("login", "login to traffic in force, p99", percentile(&mut took, 99) - hashed, "ms", "");
    let lost = pings.iter().filter(|ok| !**ok).count();
    figure("login", "first packet after the answer lost", lost as u64, "", &format!("of {TIMES}"));
    Ok(())
}
