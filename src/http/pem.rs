//! Certificates and keys in PEM files as OpenSSL, and so curl, reads them. No message carries bytes of such a file: a file whose
//! line ends were lost is one line, and that line may be the private key.

use std::borrow::Cow;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What begins a section (RFC 7468, section 3).
const BEGIN: &[u8] = b"-----BEGIN ";
/// What ends the line that begins a section.
const DASHES: &[u8] = b"-----";
/// Other labels of a certificate that OpenSSL reads (`PEM_STRING_X509_TRUSTED`, `PEM_STRING_X509_OLD`).
const CERTIFICATE_LABELS: [&[u8]; 2] = [b"TRUSTED CERTIFICATE", b"X509 CERTIFICATE"];

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// What is wrong with the file, to be put after its name; the line where there is one, and nothing that the file holds.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = normalized(pem);
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|_| damage(&pem).unwrap_or_else(|| "is not valid PEM".to_owned()))?;
    if found.is_empty() {
        return Err(damage(&pem).unwrap_or_else(|| "holds no PEM certificate".to_owned()));
    }
    Ok(found.into_iter().map(without_trust).collect())
}

/// The first private key of a PEM file.
///
/// # Errors
/// As [`certificates`].
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let pem = normalized(pem);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        if pem.windows(9).any(|window| window == b"ENCRYPTED") {
            return "is encrypted; decrypt it with 'openssl pkey -in KEY -out PLAIN'".to_owned();
        }
        damage(&pem).unwrap_or_else(|| "holds no PEM private key".to_owned())
    })
}

/// The file without a byte order mark, and with the usual label on every certificate.
fn normalized(pem: &[u8]) -> Cow<'_, [u8]> {
    let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(pem);
    if !CERTIFICATE_LABELS.iter().any(|label| position(pem, label).is_some()) {
        return Cow::Borrowed(pem);
    }
    let relabelled = pem.split_inclusive(|byte| *byte == b'\n').flat_map(|line| {
        let is_boundary = line.starts_with(DASHES);
        let found = CERTIFICATE_LABELS.iter().find_map(|label| Some((position(line, label)?, label.len())));
        match found.filter(|_| is_boundary) {
            Some((at, length)) => [&line[..at], b"CERTIFICATE", &line[at + length..]].concat(),
            None => line.to_vec(),
        }
    });
    Cow::Owned(relabelled.collect())
}

/// The first line that shows why the file cannot be read.
fn damage(pem: &[u8]) -> Option<String> {
    let mut open = None;
    for (number, line) in (1_usize..).zip(pem.split(|byte| *byte == b'\n')) {
        let Some(at) = position(line, BEGIN) else {
            if line.starts_with(b"-----END ") {
                open = None;
            }
            continue;
        };
        let rest = line[at + BEGIN.len()..].trim_ascii_end();
        let is_complete = rest.strip_suffix(DASHES).is_some_and(|label| position(label, DASHES).is_none());
        if at > 0 || !is_complete {
            return Some(format!(
                "is not valid PEM in line {number}: a BEGIN line stands alone; were the line ends lost?"
            ));
        }
        open = Some(number);
    }
    open.map(|number| format!("is not valid PEM: the section that begins in line {number} has no END line"))
}

/// The certificate alone: a "trusted certificate" is followed by what it is trusted for (`d2i_X509_AUX`).
fn without_trust(certificate: CertificateDer<'static>) -> CertificateDer<'static> {
    match sequence_length(&certificate) {
        Some(length) if length < certificate.len() => CertificateDer::from(certificate[..length].to_vec()),
        _ => certificate,
    }
}

/// How long the DER sequence at the beginning is, its head included (X.690, section 8.1.3).
fn sequence_length(der: &[u8]) -> Option<usize> {
    let [0x30, first, rest @ ..] = der else { return None };
    let count = match first {
        0..=0x7f => return Some(2 + usize::from(*first)),
        0x81..=0x84 => usize::from(first & 0x7f),
        _ => return None,
    };
    let length = rest.get(..count)?.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    length.checked_add(2 + count)
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}

#[cfg(test)]
mod tests {
    use super::{certificates, private_key, sequence_length};

    const BODY: &str = "MAMCAQE=";

    fn pem(label: &str, ends: &str) -> String {
        format!("-----BEGIN {label}-----{ends}{BODY}{ends}-----END {label}-----{ends}")
    }

    #[test]
    fn what_openssl_reads_is_read() {
        for text in [
            pem("CERTIFICATE", "\n"),
            pem("CERTIFICATE", "\r\n"),
            pem("TRUSTED CERTIFICATE", "\n"),
            pem("X509 CERTIFICATE", "\n"),
            format!("\u{feff}{}", pem("CERTIFICATE", "\n")),
            format!("subject=CN = gw\n\n{}", pem("CERTIFICATE", "\n")),
        ] {
            let found = certificates(text.as_bytes());
            assert_eq!(found.map(|found| found.len()), Ok(1), "{text}");
        }
    }

    #[test]
    fn what_follows_a_trusted_certificate_is_cut_off() {
        let text = "-----BEGIN TRUSTED CERTIFICATE-----\nMAMCAQEwAA==\n-----END TRUSTED CERTIFICATE-----\n";
        assert_eq!(certificates(text.as_bytes()).unwrap()[0].as_ref(), [0x30, 3, 2, 1, 1]);
        assert_eq!(sequence_length(&[0x30, 0x82, 1, 0]), Some(260));
        assert_eq!(sequence_length(&[0x31, 1]), None);
    }

    /// However the line ends went, the message has the line and the question, and no byte of the file.
    #[test]
    fn a_file_without_line_ends_is_told_without_its_bytes() {
        let key = pem("PRIVATE KEY", "\n");
        for lost in [key.replace('\n', ""), key.replace('\n', "\\n"), key.replace('\n', " ")] {
            let both = format!("{}{lost}", pem("CERTIFICATE", "\n"));
            for (line, why) in [(4, certificates(both.as_bytes()).err()), (1, private_key(lost.as_bytes()).err())] {
                let Some(why) = why else { continue };
                assert!(why.contains(&format!("in line {line}:")) && why.contains("line ends lost?"), "{why}");
                assert!(!why.contains(BODY), "{why}");
            }
            assert!(private_key(lost.as_bytes()).is_err(), "{lost}");
            assert!(certificates(both.as_bytes()).is_err(), "{both}");
        }
    }

    #[test]
    fn a_section_without_an_end_and_an_empty_file_are_told() {
        let cut = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n";
        assert!(certificates(cut.as_bytes()).unwrap_err().contains("begins in line 1"));
        assert_eq!(certificates(b"").unwrap_err(), "holds no PEM certificate");
        assert_eq!(private_key(b"x").unwrap_err(), "holds no PEM private key");
    }
}
