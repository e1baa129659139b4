// Release notes: the little markdown that people write, as nodes. What comes from the network never becomes markup: `parse` makes plain
// data of a fixed list of tags, `render` makes elements of them and sets their text. Links go to http and https only; pictures and HTML
// stay the text they are.

const LIMIT = 100_000;

/// Text to a tree: a node is a string, or `[tag, children, href?]`.
export function parse(text) {
  const lines = String(text ?? "").slice(0, LIMIT).replace(/\r\n?/g, "\n").split("\n");
  const out = [];
  let i = 0;
  while (i < lines.length) {
    const line = lines[i];
    let m;
    if (!line.trim()) i++;
    else if (/^ {0,3}(```|~~~)/.test(line)) {
      const fence = line.trim().slice(0, 3);
      const from = ++i;
      while (i < lines.length && !lines[i].trim().startsWith(fence)) i++;
      out.push(["pre", [["code", [lines.slice(from, i++).join("\n")]]]]);
    } else if ((m = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/.exec(line))) {
      out.push([m[1].length < 3 ? "h4" : "h5", inline(m[2])]);
      i++;
    } else if (/^ {0,3}([-*_])(\s*\1){2,}\s*$/.test(line)) {
      out.push(["hr", []]);
      i++;
    } else if ((m = ITEM.exec(line))) {
      const tag = /\d/.test(m[2]) ? "ol" : "ul";
      const items = [];
      while (i < lines.length && ((m = ITEM.exec(lines[i])) || (items.length && /^\s+\S/.test(lines[i])))) {
        if (m) items.push({ deep: m[1].length > 1, text: m[3] });
        else items.at(-1).text += ` ${lines[i].trim()}`;
        i++;
      }
      out.push([tag, nest(items, tag)]);
    } else if (/^ {0,3}>/.test(line)) {
      const from = i;
      while (i < lines.length && /^ {0,3}>/.test(lines[i])) i++;
      out.push(["blockquote", [["p", inline(lines.slice(from, i).map((l) => l.replace(/^ *> ?/, "")).join(" "))]]]);
    } else {
      const from = i++;
      while (i < lines.length && lines[i].trim() && !/^ {0,3}(#{1,6}\s|```|~~~|>)/.test(lines[i]) && !ITEM.test(lines[i])) i++;
      out.push(["p", inline(lines.slice(from, i).map((l) => l.trim()).join(" "))]);
    }
  }
  return out;
}

const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;

// One level below is enough for release notes; what is deeper comes up to it.
function nest(items, tag) {
  const out = [];
  for (const { deep, text } of items) {
    const last = out.at(-1);
    if (!deep || !last) out.push(["li", inline(text)]);
    else if (last[1].at(-1)?.[0] === tag) last[1].at(-1)[1].push(["li", inline(text)]);
    else last[1].push([tag, [["li", inline(text)]]]);
  }
  return out;
}

// Bounded everywhere: hostile notes cost no more time than honest ones.
const SPAN = /\\([!-/:-@[-`{-~])|(`{1,2})([^\n]{1,500}?)\2|\*\*([^*\n]{1,500})\*\*|__([^_\n]{1,500})__|(?<!\w)[*_]([^*_\n]{1,500})[*_](?!\w)|\[([^[\]\n]{1,300})\]\(\s*<?([^\s()<>]{1,2000})>?(?:\s+"[^"\n]{0,200}")?\s*\)|<?(https?:\/\/[^\s<>()"'`*]{1,2000})>?/g;

function inline(text) {
  const out = [];
  let at = 0;
  for (const m of text.matchAll(SPAN)) {
    const [all, escaped, , code, strong, strong2, em, label, to, bare] = m;
    if (m.index > at) out.push(text.slice(at, m.index));
    at = m.index + all.length;
    if (escaped) out.push(escaped);
    else if (code) out.push(["code", [code.trim() || code]]);
    else if (strong ?? strong2) out.push(["strong", [strong ?? strong2]]);
    else if (em) out.push(["em", [em]]);
    else if (label) out.push(safe(to) ? ["a", [label], safe(to)] : label);
    else {
      // a full stop after an address is not part of it
      const url = bare.replace(/[.,;:!?]+$/, "");
      out.push(safe(url) ? ["a", [url], safe(url)] : url, bare.slice(url.length));
    }
  }
  out.push(text.slice(at));
  return out.filter((x) => x !== "");
}

/// The address, if it is one to follow.
export function safe(href) {
  try {
    const url = new URL(href);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

const TAGS = new Set("p h4 h5 ul ol li pre code strong em a hr blockquote".split(" "));

/// The tree as nodes of this document.
export function render(tree, doc) {
  return tree.map((node) => {
    if (typeof node === "string") return doc.createTextNode(node);
    const [tag, children, href] = node;
    if (!TAGS.has(tag)) return doc.createTextNode("");
    const el = doc.createElement(tag);
    if (href) Object.assign(el, { href, target: "_blank", rel: "noopener noreferrer" });
    el.append(...render(children, doc));
    return el;
  });
}
