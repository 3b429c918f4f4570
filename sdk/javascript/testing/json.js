// JSON as the proxy reads it for a question: numbers as they are written, and no answer from a
// member that occurs twice.

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]]|[^\s{}[\],:"]+/g;

// A number as it is written.
export class NumberText {
  constructor(text) {
    this.text = text;
  }
}

// Parses JSON: arrays become arrays, objects become maps. Undefined if the text is not JSON.
export function parseJson(text) {
  try {
    JSON.parse(text);
    return valueOf(text.match(TOKENS)[Symbol.iterator]());
  } catch {
    return undefined;
  }
}

// Returns the value that begins with the next token. The tokens must come from valid JSON. At the
// end of an array or an object, returns END.
function valueOf(tokens) {
  const token = tokens.next().value;
  if (token === "[") return list(tokens);
  if (token === "{") return members(tokens);
  if (token.startsWith('"')) return JSON.parse(token);
  if (token === "]" || token === "}") return END;
  return /^[-0-9]/.test(token) ? new NumberText(token) : JSON.parse(token);
}

const END = Symbol("end");

function list(tokens) {
  const found = [];
  for (let value; (value = valueOf(tokens)) !== END;) found.push(value);
  return found;
}

function members(tokens) {
  const found = new Map();
  for (let key; (key = valueOf(tokens)) !== END;) {
    const value = valueOf(tokens);
    found.set(key, found.has(key) ? undefined : value);
  }
  return found;
}
