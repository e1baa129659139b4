// A dashboard changes this by the --pikit-update-… properties. Colours come in pairs, light and dark: `color-scheme` on the tag chooses,
// the system if it says nothing.

export const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host{color-scheme:light dark;
--a:var(--pikit-update-accent,light-dark(#0a5bb5,#84bcff));--on:var(--pikit-update-on-accent,light-dark(#fff,#06203f));
--s:var(--pikit-update-surface,light-dark(#fff,#20242b));--b:var(--pikit-update-ground,light-dark(#f1f3f6,#16191e));
--t:var(--pikit-update-text,light-dark(#1a1e24,#e9ecf1));--q:var(--pikit-update-quiet,light-dark(#596270,#a6b0be));--l:var(--pikit-update-line,light-dark(#d9dde3,#3a414c));
--good:var(--pikit-update-good,light-dark(#176b35,#76d592));--warn:var(--pikit-update-warn,light-dark(#875000,#f2bb62));--bad:var(--pikit-update-bad,light-dark(#b3202c,#ff9a9a));
--r:var(--pikit-update-radius,12px)}
.chip,dialog{all:initial;color-scheme:inherit;font:1rem/1.5 var(--pikit-update-font,system-ui,sans-serif);color:var(--t)}
*,.chip,dialog{box-sizing:border-box}
h2,h3,h4,p,dl,dd,ul,ol,pre,fieldset,legend{margin:0;padding:0;border:0;unicode-bidi:plaintext}
.good{--c:var(--good)}.news{--c:var(--a)}.warn{--c:var(--warn)}.bad{--c:var(--bad)}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
button,input{font:inherit;color:inherit;min-height:2.25rem;padding:.3rem .9rem;border:1px solid var(--l);border-radius:8px;background:var(--s);cursor:pointer}
button:hover{border-color:var(--q)}
.chip{display:inline-flex;align-items:center;gap:.5em;min-height:2rem;border:1px solid var(--l);border-radius:2em;padding:.2em .8em;background:var(--s);font-size:.9rem;cursor:pointer;white-space:nowrap}
.dot{width:.6em;height:.6em;border-radius:50%;background:var(--c,var(--q))}
.wait{animation:blink 1.2s infinite alternate}@keyframes blink{to{opacity:.2}}
:focus-visible{outline:3px solid var(--a);outline-offset:2px}
dialog{position:fixed;inset:0;margin:auto;display:flex;flex-direction:column;width:min(36rem,100vw - 1.5rem);height:fit-content;max-height:calc(100dvh - 1.5rem);border:1px solid var(--l);border-radius:calc(var(--r) + 4px);background:var(--b);overflow:hidden;overflow-wrap:anywhere}
dialog:not([open]){display:none}
dialog::backdrop{background:#0008}
.top,.foot,.row,label,dl>div{display:flex;flex-wrap:wrap;align-items:center;gap:.6rem}
.top,.foot,dl>div{justify-content:space-between}
.top{padding:.5rem;padding-inline-start:1.25rem}
h2{font-size:1.1rem}small,.quiet,dt,.foot,.count{color:var(--q)}small{font-weight:400}
h3{font-size:1rem;font-weight:600}h3:focus{outline:0}h4{font-size:.95rem}
.body{display:grid;gap:.75rem;padding:0 .75rem .75rem;overflow-y:auto;overscroll-behavior:contain}
section,section>div,form,.past{display:grid;gap:.5rem;min-width:0}
li{margin-top:.2rem}section{padding:1rem;border-radius:var(--r);background:var(--s)}
.hero{grid-template-columns:auto minmax(0,1fr);gap:.9rem}
.hero h3{font-size:1.3rem;line-height:1.5}
.over{padding-block:2.5rem}
.count{font-size:2rem;font-variant-numeric:tabular-nums}
.icon,.spin{width:2.2rem;height:2.2rem;padding:.4rem;border-radius:50%;color:var(--c,var(--q));background:color-mix(in srgb,currentColor 14%,transparent)}
svg{fill:none;stroke:currentColor;stroke-width:2.4;stroke-linecap:round;stroke-linejoin:round}
.spin{border:3px solid var(--l);border-top-color:var(--a);background:none;animation:turn 1s linear infinite}@keyframes turn{to{rotate:1turn}}
.main{background:var(--a);border-color:var(--a);color:var(--on);font-weight:600}
.risky{border-color:var(--bad);color:var(--bad)}
[aria-disabled]{opacity:.65;cursor:default}
.link,.close{border-color:transparent;background:none}
.link{padding-inline:.4rem;color:var(--a);text-decoration:underline;justify-self:start}
.close{width:2.75rem;height:2.75rem;padding:.6rem}
input{padding:.3rem .6rem;border-color:var(--q)}
[type=radio]{width:1.15rem;height:1.15rem;min-height:0;margin:0;accent-color:var(--a)}
form{justify-items:start}form input{width:100%}
label{gap:.4rem;min-height:2.25rem}
a{color:var(--a)}
code,pre{font-family:ui-monospace,monospace;font-size:.9em;border-radius:4px;background:var(--b)}
code{padding:.1em .3em}
pre{padding:.6rem .8rem;white-space:pre-wrap}
.type{user-select:all}
.log{max-height:16rem;overflow:auto;font-size:.8rem}
.problem{padding:.6rem .8rem;border-inline-start:4px solid var(--bad);background:var(--b)}
.done{color:var(--good)}
progress{width:100%;height:.6rem;appearance:none;border:0;border-radius:1rem;background:var(--l);overflow:hidden}
::-webkit-progress-bar{background:var(--l)}::-webkit-progress-value{background:var(--a)}::-moz-progress-bar{background:var(--a)}
ul,.notes ol{padding-inline-start:1.3rem}
.past{list-style:none}.past li{display:grid;padding-top:.5rem;border-top:1px solid var(--l)}
dl>div{gap:0 1rem;padding:.3rem 0}dl>div+div{border-top:1px solid var(--l)}
.tag{padding:.1em .5em;border-radius:1em;font-size:.85em;color:var(--c);background:color-mix(in srgb,currentColor 12%,transparent)}
.foot{padding-inline:.5rem;font-size:.9rem}
@media(pointer:coarse){button,.chip,input:not([type=radio]),label{min-height:44px;min-width:44px}}
@media(max-width:30rem){dialog{width:100%;max-width:none;max-height:none;height:100dvh;border:0;border-radius:0}.hero{grid-template-columns:1fr}}
@media(prefers-reduced-motion){*{animation:none!important}}
@media(forced-colors:active){.dot,::-webkit-progress-value{forced-color-adjust:none;background:CanvasText}progress,section{border:1px solid}.main{border-width:2px}}
`);
