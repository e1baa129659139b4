// Release notes: `parse` makes data of a fixed list of tags, `render` elements with text. What comes from the network never becomes markup.

const ITEM = /^\s*([-*+]|\d{1,9}[.)])\s+(.*)$/;
const HEAD = /^ {0,3}#{1,6}\s+(.*?)[\s#]*$/;

/// Text to a tree: a node is a string, or `[tag, children, href?]`.
export function parse(text) {
  const out = [];
  let open = null; // the paragraph or item that the next line may go on with
  let code = null;
  for (const line of String(text ?? "").slice(0, 1e5).split(/\r?\n/)) {
    let m;
    if (/^\s*(```|~~~)/.test(line)) {
      if (!code) out.push(["pre", (code = [])]);
      else code = null;
      open = null;
    } else if (code) code.push(`${line}\n`);
    else if (!line.trim()) open = null;
    else if ((m = HEAD.exec(line))) out.push(["h4", [m[1]]]), (open = null);
    else if ((m = ITEM.exec(line))) {
      const tag = m[1] > "/" ? "ol" : "ul";
      if (out.at(-1)?.[0] !== tag) out.push([tag, []]);
      out.at(-1)[1].push((open = ["li", [m[2]]]));
    } else if (open) open[1][0] += ` ${line.trim()}`;
    else out.push((open = ["p", [line.trim()]]));
  }
  const spans = ([tag, kids]) => [tag, tag === "pre" ? kids : tag[1] === "l" ? kids.map(spans) : inline(kids[0])];
  return out.map(spans);
}

// Bounded: hostile notes cost no more time than honest ones.
const SPAN = /`([^`]{1,500})`|\*\*([^*]{1,500})\*\*|(?<!\w)[*_]([^*_]{1,500})[*_](?!\w)|\[([^[\]]{1,300})\]\(([^\s()]{1,2000})\)|(https?:\/\/[^\s<>()"'`*]{1,2000}[^\s<>()"'`*.,;:!?])/g;

function inline(text) {
  const out = [];
  let at = 0;
  for (const { 0: all, index, ...m } of text.matchAll(SPAN)) {
    out.push(text.slice(at, index));
    at = index + all.length;
    const href = safe(m[5] ?? m[6]);
    out.push(m[1] ? ["code", [m[1]]] : m[2] ? ["strong", [m[2]]] : m[3] ? ["em", [m[3]]] : href ? ["a", [m[4] ?? all], href] : m[4] ?? all);
  }
  return [...out, text.slice(at)].filter(Boolean);
}

function safe(href) {
  try {
    const url = new URL(href);
    return /^https?:$/.test(url.protocol) && url.href;
  } catch {
    return null;
  }
}

export const render = (tree, doc) =>
  tree.map((node) => {
    if (typeof node === "string") return doc.createTextNode(node);
    const [tag, kids, href] = node;
    const el = doc.createElement(tag);
    if (href) Object.assign(el, { href, target: "_blank", rel: "noopener noreferrer" });
    el.append(...render(kids, doc));
    return el;
  });
