// One sheet for both elements. A dashboard changes it from outside by the --pikit-update-… properties; nothing else reaches in, nothing leaks
// out. Colours come in pairs, for light and dark: `color-scheme` on the tag chooses, the system by default.

const css = `
:host{color-scheme:light dark;
--a:var(--pikit-update-accent,light-dark(#0a5bb5,#84bcff));--on:var(--pikit-update-on-accent,light-dark(#fff,#06203f));
--s:var(--pikit-update-surface,light-dark(#fff,#20242b));--b:var(--pikit-update-ground,light-dark(#f1f3f6,#16191e));
--t:var(--pikit-update-text,light-dark(#1a1e24,#e9ecf1));--q:var(--pikit-update-quiet,light-dark(#596270,#a6b0be));--l:var(--pikit-update-line,light-dark(#d9dde3,#3a414c));
--good:var(--pikit-update-good,light-dark(#176b35,#76d592));--warn:var(--pikit-update-warn,light-dark(#875000,#f2bb62));--bad:var(--pikit-update-bad,light-dark(#b3202c,#ff9a9a));
--r:var(--pikit-update-radius,12px)}
@supports not (color:light-dark(#000,#fff)){:host{--a:#0a5bb5;--on:#fff;--s:#fff;--b:#f1f3f6;--t:#1a1e24;--q:#596270;--l:#d9dde3;--good:#176b35;--warn:#875000;--bad:#b3202c}}
.chip,dialog{all:initial;box-sizing:border-box;font:400 1rem/1.5 var(--pikit-update-font,system-ui,sans-serif);color:var(--t);-webkit-tap-highlight-color:transparent}
*{box-sizing:border-box}
h2,h3,h4,h5,p,dl,dd,ul,ol,pre,fieldset,blockquote{margin:0;padding:0;border:0;unicode-bidi:plaintext}
.good{--c:var(--good)}.news{--c:var(--a)}.warn{--c:var(--warn)}.bad{--c:var(--bad)}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.chip{display:inline-flex;align-items:center;gap:.5em;padding:.25em .8em;border:1px solid var(--l);border-radius:2em;background:var(--s);font-size:.9rem;line-height:1.6;cursor:pointer;white-space:nowrap}
.chip:hover,button:hover{border-color:var(--q)}
.dot{width:.6em;height:.6em;border-radius:50%;background:var(--c,var(--q))}
.wait{animation:blink 1.2s infinite alternate}@keyframes blink{to{opacity:.2}}
:focus-visible{outline:3px solid var(--a);outline-offset:2px}
dialog:not([open]){display:none}
dialog{position:fixed;inset:0;margin:auto;display:flex;flex-direction:column;width:min(36rem,100vw - 1.5rem);height:fit-content;max-height:calc(100dvh - 1.5rem);border:1px solid var(--l);border-radius:calc(var(--r) + 4px);background:var(--b);overflow:hidden;box-shadow:0 1rem 4rem #0006;overflow-wrap:anywhere}
dialog::backdrop{background:#0008}
header,footer,.row{display:flex;flex-wrap:wrap;align-items:center;gap:.6rem}
header{justify-content:space-between;flex-wrap:nowrap;padding:.6rem .75rem .6rem 1.25rem;padding-inline:1.25rem .75rem}
h2{font-size:1.1rem}h2 small,.quiet,dt,footer,.count{color:var(--q)}h2 small{font-weight:400}
h3{font-size:1rem;font-weight:600}h3:focus{outline:0}h4,h5{font-size:.95rem;margin-top:.75rem}
.body{display:flex;flex-direction:column;gap:.75rem;padding:0 .75rem .75rem;overflow-y:auto;overscroll-behavior:contain}
section{display:flex;flex-direction:column;gap:.5rem;padding:1rem;border-radius:var(--r);background:var(--s);flex:none}
.hero{display:grid;grid-template-columns:auto minmax(0,1fr);gap:.9rem}
.hero>div{display:flex;flex-direction:column;gap:.5rem;min-width:0}
.hero h3{font-size:1.3rem;line-height:1.4}
.over{padding-block:2.5rem}
.count{font-size:2rem;font-variant-numeric:tabular-nums}
.icon,.spin{width:2.2rem;height:2.2rem;padding:.4rem;border-radius:50%;color:var(--c,var(--q));background:color-mix(in srgb,currentColor 14%,transparent)}
svg{fill:none;stroke:currentColor;stroke-width:2.4;stroke-linecap:round;stroke-linejoin:round}
.spin{border:3px solid var(--l);border-top-color:var(--a);background:none;animation:turn 1s linear infinite}@keyframes turn{to{rotate:1turn}}
button,input,a.more{font:inherit;color:inherit;min-height:2.25rem}
button{padding:.3rem .9rem;border:1px solid var(--l);border-radius:8px;background:var(--s);cursor:pointer}
button.main{background:var(--a);border-color:var(--a);color:var(--on);font-weight:600}
button.risky{border-color:var(--bad);color:var(--bad)}
button[aria-disabled=true]{opacity:.65;cursor:default}
button.link,.close{border-color:transparent;background:none}
button.link{padding-inline:.4rem;color:var(--a);text-decoration:underline}
.close{display:grid;place-items:center;width:2.75rem;height:2.75rem;padding:.6rem;border-radius:50%}
.chip{min-height:0}
input:not([type=radio]){padding:.3rem .6rem;border:1px solid var(--q);border-radius:8px;background:var(--s)}
form{display:grid;gap:.5rem;justify-items:start}form input{width:100%}
a{color:var(--a)}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
code{padding:.1em .3em;border-radius:4px;background:var(--b)}
pre{padding:.6rem .8rem;border-radius:8px;background:var(--b);white-space:pre-wrap}pre code{padding:0;font-size:1em}
.type{user-select:all}
.log{max-height:16rem;overflow:auto;font-size:.8rem}
.problem{padding:.6rem .8rem;border-inline-start:4px solid var(--bad);background:color-mix(in srgb,var(--bad) 8%,transparent);border-radius:4px}
.done{color:var(--good)}
progress{display:block;width:100%;height:.6rem;margin-bottom:.4rem;appearance:none;border:0;border-radius:1rem;background:var(--l);overflow:hidden;color:var(--a)}
progress::-webkit-progress-bar{background:var(--l)}progress::-webkit-progress-value{background:var(--a);transition:width .4s}progress::-moz-progress-bar{background:var(--a)}
.notes{display:grid;gap:.5rem}.notes :is(ul,ol),.files{padding-inline-start:1.3rem}.notes :is(h4,h5){margin-top:.25rem}
.notes blockquote{padding-inline-start:.8rem;border-inline-start:3px solid var(--l)}
dl>div{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 1rem;padding:.3rem 0}dl>div+div{border-top:1px solid var(--l)}
.modes{display:flex;flex-wrap:wrap;gap:.6rem;margin-top:.5rem}
.modes label{display:inline-flex;align-items:center;gap:.4rem;min-height:2.25rem}
input[type=radio]{width:1.15rem;height:1.15rem;min-height:0;margin:0;accent-color:var(--a)}
.history{list-style:none;display:grid;gap:.75rem}.history li{padding-top:.75rem;border-top:1px solid var(--l)}
.tag{padding:.1em .5em;border-radius:1em;font-size:.85em;color:var(--c,var(--q));background:color-mix(in srgb,currentColor 12%,transparent)}
footer{justify-content:space-between;padding-inline:.5rem;font-size:.9rem}
@media(pointer:coarse){.chip,button,input:not([type=radio]),.modes label{min-height:44px}.chip,button{min-width:44px}}
@media(max-width:30rem){dialog{width:100vw;max-width:none;max-height:100dvh;height:100dvh;border:0;border-radius:0}.hero{grid-template-columns:1fr}}
@media(prefers-reduced-motion:reduce){*{animation:none!important;transition:none!important}}
@media(forced-colors:active){.dot,progress::-webkit-progress-value{forced-color-adjust:none;background:CanvasText}.dot{border:1px solid CanvasText}progress{border:1px solid}section{border:1px solid}button.main{border-width:2px}}
`;

export const sheet = new CSSStyleSheet();
sheet.replaceSync(css);
