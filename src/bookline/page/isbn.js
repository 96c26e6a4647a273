/**
 * Pasted text, cut into ISBNs. A first check with a helpful message; the server decides.
 *
 * Rule 1:  whatever is not understood stays as it was typed, so that the server can say why.
 */

const LABEL = /\bISBN(?:[-\s]?1[03](?=\s*[:：\s])|-1[03])?\s*[:：]?/giu;
const BETWEEN = /[\s\u00ad\u200b-\u200f\u2060\ufeff\p{Pd}\u2212\u2043]+/gu;

/** `[{text, isbn, fault}]`: `isbn` is compact, or null with the `fault` in words. */
export function readPasted(text) {
  const pieces = text
    .normalize("NFKC")
    .replace(LABEL, "\n")
    .split(/[\n\r\t,;|]+/)
    .map((piece) => piece.trim().replace(/^(?:="(.*)"|\[(.*)\]|"(.*)"|'(.*)')$/s, "$1$2$3$4"))
    .filter(Boolean);
  const found = pieces.flatMap(readPiece);
  const seen = new Set();
  return found.filter(({ isbn, text }) => {
    const id = isbn ? to13(isbn) : text;
    return !seen.has(id) && seen.add(id);
  });
}

function readPiece(piece) {
  const whole = readOne(piece);
  const tokens = piece.split(/\s+/);
  if (whole.isbn || tokens.length === 1) return [whole];
  return splitAll(tokens) ?? (compact(piece).length <= 13 ? [whole] : splitSome(tokens));
}

/** Tokens between spaces as ISBNs without a rest, or null. A number may have spaces inside. */
function splitAll(tokens) {
  const best = Array(tokens.length + 1).fill(null);
  best[tokens.length] = [];
  for (let start = tokens.length - 1; start >= 0; start -= 1) {
    const runs = runsFrom(tokens, start).filter(({ end }) => best[end]);
    const run = runs.sort((a, b) => b.one.isbn.length - a.one.isbn.length)[0];
    if (run) best[start] = [run.one, ...best[run.end]];
  }
  return best[0];
}

/** The same with what does not fit kept together as one bad piece. */
function splitSome(tokens) {
  const found = [];
  let odd = [];
  const keepOdd = () => {
    if (odd.length) found.push(readOne(odd.join(" ")));
    odd = [];
  };
  for (let start = 0; start < tokens.length;) {
    const run = runsFrom(tokens, start).at(-1);
    if (run) {
      keepOdd();
      found.push(run.one);
      start = run.end;
    } else {
      if (compact(tokens[start]).length >= 9) keepOdd();
      odd.push(tokens[start]);
      start += 1;
    }
  }
  keepOdd();
  return found;
}

function runsFrom(tokens, start) {
  const runs = [];
  for (let end = start + 1; end <= tokens.length; end += 1) {
    const text = tokens.slice(start, end).join(" ");
    if (compact(text).length > 13) break;
    const one = readOne(text);
    if (one.isbn) runs.push({ end, one });
  }
  return runs;
}

function compact(text) {
  return text.replace(BETWEEN, "").toUpperCase();
}

function readOne(text) {
  const digits = compact(text);
  const fault = faultOf(digits);
  return { text, isbn: fault ? null : digits, fault };
}

function faultOf(digits) {
  if (/^\d[.,]\d+E\+\d+$/.test(digits)) return "a spreadsheet cut off its last digits";
  if (/[^\dX]/.test(digits)) return "not an ISBN";
  if (digits.length !== 10 && digits.length !== 13) {
    return `an ISBN has 10 or 13 digits, this one has ${digits.length}`;
  }
  if (/X./.test(digits) || (digits.length === 13 && digits.endsWith("X"))) {
    return "X is only allowed as the last of 10 digits";
  }
  if (digits.length === 13 && !/^97[89]/.test(digits)) return "a 13-digit ISBN starts with 978 or 979";
  const right = digits.length === 10 ? check10(digits) : check13(digits);
  return digits.at(-1) === right ? null : `a digit is wrong: the last one should be ${right}`;
}

function check10(digits) {
  const sum = [...digits.slice(0, 9)].reduce((total, digit, at) => total + digit * (10 - at), 0);
  const check = (11 - (sum % 11)) % 11;
  return check === 10 ? "X" : String(check);
}

function check13(digits) {
  const sum = [...digits.slice(0, 12)].reduce((total, digit, at) => total + digit * (at % 2 ? 3 : 1), 0);
  return String((10 - (sum % 10)) % 10);
}

function to13(isbn) {
  if (isbn.length === 13) return isbn;
  const body = `978${isbn.slice(0, 9)}`;
  return body + check13(body);
}
