//! Tables as files (RFC 4180, `text/csv`), written page by page while they are sent.
//!
//! Spreadsheets take a field that begins with `=`, `+`, `-`, `@`, a tab or a line break for a
//! formula, whoever wrote it. Devices choose many of the fields, so such a field gets an apostrophe
//! in front, unless it is a plain number.

use actix_web::http::header::{ContentDisposition, DispositionParam, DispositionType, HeaderValue};
use actix_web::{HttpResponse, http::header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::error::ApiError;

/// Rows of one page: each a list of fields, as many as there are columns.
pub type Rows = Vec<Vec<String>>;

/// What a spreadsheet shows as text: `field` itself, or with an apostrophe in front where it would
/// be a formula.
pub fn as_text(field: &str) -> std::borrow::Cow<'_, str> {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let number = field.parse::<f64>().is_ok_and(f64::is_finite);
    if formula && !number {
        format!("'{field}").into()
    } else {
        field.into()
    }
}

/// `rows` as lines that end with CRLF.
fn lines(rows: impl IntoIterator<Item = Vec<String>>) -> Result<Bytes, csv::Error> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .flexible(true)
        .from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.iter().map(|field| as_text(field).into_owned()))?;
    }
    let written = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(written.into())
}

/// A file `name` with a line of `columns` and then `pages`, each written when the one before it is
/// on its way: what is held at once is a page. A page that fails ends the answer without its end,
/// so that nobody takes the half of a table for the whole.
pub fn download<P>(name: &str, columns: &[&str], pages: P) -> HttpResponse
where
    P: Stream<Item = Result<Rows, ApiError>> + 'static,
{
    let head = columns.iter().map(|&column| column.to_owned()).collect();
    let head = futures_util::stream::iter([Ok(vec![head])]);
    let body = head.chain(pages).map(|page| -> Result<_, ApiError> {
        lines(page?).map_err(|error| ApiError::internal(format!("a line of a table: {error}")))
    });
    HttpResponse::Ok()
        .insert_header((
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/csv; charset=utf-8; header=present"),
        ))
        .insert_header(attachment(name))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(body)
}

/// Tells a browser to save what it is given as `name`, in which whatever some file system could
/// take for something else (names of devices are free) has become `_`.
pub fn attachment(name: &str) -> ContentDisposition {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name = name.replace(|c| !plain(c), "_");
    ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(name)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_becomes_text_and_a_number_stays_one() {
        for formula in [
            "=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "-inf",
        ] {
            assert_eq!(as_text(formula), format!("'{formula}"));
        }
        for plain in [
            "",
            "21.5",
            "-3",
            "-1.5e-7",
            "+4",
            "a=1",
            "urn:imei:1",
            " =1",
        ] {
            assert_eq!(as_text(plain), plain);
        }
    }

    #[test]
    fn a_field_with_a_comma_a_quote_or_a_line_break_is_quoted() {
        let row = ["a,b", "say \"x\"", "two\nlines", ""].map(String::from);
        let written = lines([row.to_vec()]).unwrap();
        assert_eq!(
            written,
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\r\n".as_bytes()
        );
    }
}
