// Texts and graphics that have too little contrast, by WCAG 2.2 (AA): a list. The body of a function.
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const rgba = (color) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], below) => [r, g, b].map((it, index) => it * a + below[index] * (1 - a));
const luminance = (color) => {
  const [r, g, b] = color.map((it) => it / 255).map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (one, other) => {
  const [dark, bright] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
};
const problems = [];
// What lies under an element, with its own background or without.
const background = (element) => {
  const layers = [];
  for (let it = element; it; it = it.parentElement) {
    const style = getComputedStyle(it);
    if (style.backgroundImage !== "none") problems.push(`a picture lies under ${element.tagName}: ${style.backgroundImage}`);
    layers.push(rgba(style.backgroundColor));
    if (layers.at(-1)[3] === 1) break;
  }
  const paper = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
  return layers.reduceRight((below, layer) => over(layer, below), paper);
};
const opacity = (element) => {
  let product = 1;
  for (let it = element; it; it = it.parentElement) product *= Number(getComputedStyle(it).opacity);
  return product;
};
const check = (what, color, element, below, needed) => {
  const [r, g, b, a] = rgba(color);
  const found = ratio(over([r, g, b, a * opacity(element)], below), below);
  if (found < needed) problems.push(`${what}: ${found.toFixed(2)}, not ${needed} (${color} over rgb(${below.map(Math.round)}))`);
};
const name = (element, text) => `<${element.tagName.toLowerCase()} id=${element.id} class=${element.getAttribute("class")}> "${text.trim().slice(0, 30)}"`;
const dialog = all("dialog").filter((it) => it.matches(":modal")).pop();
const elements = [...(dialog ?? document.body).querySelectorAll("*")].filter(
  (it) => shown(it) && !it.matches("script, style, title, option, :disabled, :disabled *"),
);
let texts = 0;
for (const element of elements) {
  const style = getComputedStyle(element);
  const isLarge = parseFloat(style.fontSize) >= (Number(style.fontWeight) >= 700 ? 18.66 : 24);
  const text = [...element.childNodes].filter((it) => it.nodeType === Node.TEXT_NODE).map((it) => it.data).join("");
  if (text.trim()) {
    texts += 1;
    const isDrawn = element instanceof SVGElement;
    check(name(element, text), isDrawn ? style.fill : style.color, element, background(element), isLarge ? 3 : 4.5);
  }
  if (element.matches("input")) {
    check(name(element, "its text"), style.color, element, background(element), 4.5);
    const hint = getComputedStyle(element, "::placeholder");
    if (element.placeholder) check(name(element, element.placeholder), hint.color, element, background(element), 4.5);
    check(name(element, "its edge"), style.borderBottomColor, element, background(element.parentElement), 3);
  }
  // Lines that only help to read a chart are marked as such.
  if (element.matches("svg :is(rect, path, line, polyline, polygon, circle)") && !element.closest(".grid, defs")) {
    const box = element.getBoundingClientRect();
    const color = [style.fill, style.stroke].find((it) => it !== "none" && rgba(it)[3] > 0);
    if (color && box.width + box.height > 0) check(name(element, "a shape"), color, element, background(element), 3);
  }
}
if (texts < 3) problems.push(`only ${texts} texts were found`);
return [...new Set(problems)].slice(0, 20);
