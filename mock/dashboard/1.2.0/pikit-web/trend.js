// Draws how a value went: the last sixty numbers as one line.
export function trend(box) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  svg.setAttribute("viewBox", "0 0 59 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  box.append(svg);
  const numbers = [];
  return (number) => {
    numbers.push(number);
    if (numbers.length > 60) numbers.shift();
    const low = Math.min(...numbers);
    const span = Math.max(...numbers) - low || 1;
    line.setAttribute("points", numbers.map((n, i) => `${i},${18 - (16 * (n - low)) / span}`).join(" "));
  };
}
