// A dashboard changes this by the --pikit-update-… properties. Colours come in pairs: `color-scheme` on the tag chooses, or the system.

export const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host{color-scheme:light dark;
--a:var(--pikit-update-accent,light-dark(#05b,#8bf));--on:var(--pikit-update-on-accent,light-dark(#fff,#012));
--s:var(--pikit-update-surface,light-dark(#fff,#20242b));--b:var(--pikit-update-ground,light-dark(#f1f3f6,#16191e));
--t:var(--pikit-update-text,light-dark(#112,#eee));--q:var(--pikit-update-quiet,light-dark(#556,#abc));--l:var(--pikit-update-line,light-dark(#dde,#445));
--good:var(--pikit-update-good,light-dark(#063,#7d9));--warn:var(--pikit-update-warn,light-dark(#840,#fb6));--bad:var(--pikit-update-bad,light-dark(#b12,#f99));
--r:var(--pikit-update-radius,12px);--z:var(--pikit-update-size,max(16px,1rem))}
.chip,dialog{all:initial;color-scheme:inherit;font:var(--z)/1.5 var(--pikit-update-font,system-ui,sans-serif);color:var(--t)}
*,.chip,dialog{box-sizing:border-box;unicode-bidi:plaintext}
h2,h3,h4,p,dl,dd,ul,ol,pre,fieldset,legend{margin:0;padding:0;border:0}
.good{--c:var(--good)}.news{--c:var(--a)}.warn{--c:var(--warn)}.bad{--c:var(--bad)}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
button,input{font:inherit;color:inherit;min-height:2.25em;padding:.3em .9em;border:1px solid var(--l);border-radius:8px;background:var(--s);cursor:pointer}
button:hover{border-color:var(--q)}
.chip{display:inline-flex;align-items:center;gap:.5em;min-height:2em;border:1px solid var(--l);border-radius:2em;padding:.2em .8em;background:var(--s);font-size:calc(.9*var(--z));cursor:pointer;white-space:nowrap}
.dot{width:.6em;height:.6em;border-radius:50%;background:var(--c,var(--q))}
.wait{animation:blink 1s infinite alternate}@keyframes blink{to{opacity:.2}}
:focus-visible{outline:3px solid var(--a);outline-offset:2px}
dialog{position:fixed;inset:0;margin:auto;display:flex;flex-direction:column;width:min(36em,100vw - 1.5em);height:fit-content;max-height:calc(100dvh - 1.5em);border:1px solid var(--l);border-radius:calc(var(--r) + 4px);background:var(--b);overflow:hidden;overflow-wrap:anywhere}
dialog:not([open]){display:none}
dialog::backdrop{background:#0008}
.drop{outline:4px dashed var(--a);outline-offset:-6px}
.top,.foot,.row,label,dl>div{display:flex;flex-wrap:wrap;align-items:center;gap:.6em}
.top,.foot,dl>div{justify-content:space-between}
.top{padding:.5em;padding-inline-start:1.25em}
h2{font-size:1.1em}small,.quiet,dt,.foot,.count{color:var(--q)}small{font-weight:400}
h3{font-size:1em;font-weight:600}h3:focus{outline:0}h4{font-size:.95em}
.body{display:grid;gap:.75em;padding:0 .75em .75em;overflow-y:auto;overscroll-behavior:contain}
section,section>div,form,.past{display:grid;gap:.5em;min-width:0}
li{margin-top:.2em}section{padding:1em;border-radius:var(--r);background:var(--s)}
.hero{grid-template-columns:auto minmax(0,1fr);gap:.9em}
.hero h3{font-size:1.3em;line-height:1.5}
.over{padding-block:2em}
.count{font-size:2em;font-variant-numeric:tabular-nums}
.icon,.spin{width:2.2em;height:2.2em;padding:.4em;border-radius:50%;color:var(--c,var(--q));background:color-mix(in srgb,currentColor 14%,transparent)}
svg{fill:none;stroke:currentColor;stroke-width:2.4;stroke-linecap:round;stroke-linejoin:round}
.spin{border:3px solid var(--l);border-top-color:var(--a);background:none;animation:turn 1s linear infinite}@keyframes turn{to{rotate:1turn}}
.main{background:var(--a);border-color:var(--a);color:var(--on);font-weight:600}
.risky{border-color:var(--bad);color:var(--bad)}
[aria-disabled]{opacity:.65;cursor:default}
[aria-expanded]:after{content:" ▾"/""}[aria-expanded=true]:after{content:" ▴"/""}
.link,.close{border-color:transparent;background:none}
.link{padding-inline:.4em;color:var(--a);text-decoration:underline;justify-self:start}
.close{width:2.75em;height:2.75em;padding:.6em}
input{padding:.3em .6em;border-color:var(--q)}
[type=radio]{width:1.15em;height:1.15em;min-height:0;margin:0;accent-color:var(--a)}
form{justify-items:start}form input{width:100%}
label{gap:.4em;min-height:2.25em}
a{color:var(--a)}
code,pre{font-family:ui-monospace,monospace;font-size:.9em;border-radius:4px;background:var(--b)}
code{padding:.1em .3em}
pre{padding:.6em .8em;white-space:pre-wrap}
.type{user-select:all}
.log{max-height:16em;overflow:auto;font-size:.8em}
.problem{padding:.6em .8em;border-inline-start:4px solid var(--bad);background:var(--b)}
.done{color:var(--good)}
progress{width:100%;height:.6em;appearance:none;border:0;border-radius:1em;background:var(--l);overflow:hidden}
::-webkit-progress-bar{background:var(--l)}::-webkit-progress-value{background:var(--a)}::-moz-progress-bar{background:var(--a)}
ul,.notes ol{padding-inline-start:1.3em}
.past{list-style:none}.past li{display:grid;padding-top:.5em;border-top:1px solid var(--l)}
dl>div{gap:0 1em;padding:.3em 0}dl>div+div{border-top:1px solid var(--l)}
.tag{padding:.1em .5em;border-radius:1em;font-size:.85em;color:var(--c);background:color-mix(in srgb,currentColor 12%,transparent)}
.foot{padding-inline:.5em;font-size:.9em}
@media(pointer:coarse){button,.chip,input:not([type=radio]),label{min-height:44px;min-width:44px}}
@media(max-width:30rem){dialog{width:100%;max-width:none;max-height:none;height:100dvh;border:0;border-radius:0}.hero{grid-template-columns:1fr}}
@media(prefers-reduced-motion){*{animation:none!important}}
@media(forced-colors:active){.dot,::-webkit-progress-value{forced-color-adjust:none;background:CanvasText}progress,section{border:1px solid}.main{border-width:2px}}
`);
