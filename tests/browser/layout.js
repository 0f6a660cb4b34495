// What people could not see, read or hit: a list of texts. The body of a function.
const problems = [];
const name = (element) => {
  const id = element.id ? `#${element.id}` : "";
  const classes = typeof element.className === "string" && element.className ? `.${element.className.split(" ").join(".")}` : "";
  return `<${element.tagName.toLowerCase()}${id}${classes}> "${element.textContent.trim().slice(0, 40)}"`;
};
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > width) {
  problems.push(`the page is ${document.documentElement.scrollWidth} px wide, in ${width}`);
}
// Behind a dialog nothing can be reached, and need not be.
const dialog = all("dialog").filter((it) => it.matches(":modal")).pop();
// For screen readers alone.
const isUnseen = (element) => {
  for (let it = element; it; it = it.parentElement) {
    const box = it.getBoundingClientRect();
    if ((box.width <= 1 || box.height <= 1) && getComputedStyle(it).overflow !== "visible") return true;
  }
  return false;
};
const isControl = (element) => element.matches("button, input, select, textarea, a[href], summary");
const hasText = (element) => [...element.childNodes].some((it) => it.nodeType === Node.TEXT_NODE && it.data.trim());
const visible = [...(dialog ?? document.body).querySelectorAll("*")].filter(
  (it) => shown(it) && !isUnseen(it) && !it.matches("script, style, title, option, desc"),
);
// What hides a part of it without saying so.
const cutBy = (element, box) => {
  for (let it = element; it && it !== document.body; it = it.parentElement) {
    const style = getComputedStyle(it);
    if (style.display === "inline" || style.display === "contents") continue;
    if (/auto|scroll/.test(style.overflowX) && it.scrollWidth > it.clientWidth + 1) return it;
    if (style.overflowX === "visible") continue;
    if (style.textOverflow === "ellipsis" || style.webkitLineClamp !== "none") return null;
    const around = it.getBoundingClientRect();
    if (box.left < around.left - 1 || box.right > around.right + 1) return it;
    if (/auto|scroll/.test(style.overflowY)) return null;
    if (box.top < around.top - 3 || box.bottom > around.bottom + 3) return it;
  }
  return null;
};
// Whether a point is in a part that is left out, which dots say.
const isLeftOut = (element, x, y) => {
  for (let it = element; it; it = it.parentElement) {
    if (getComputedStyle(it).webkitLineClamp === "none") continue;
    const { left, right, top, bottom } = it.getBoundingClientRect();
    return x < left || x > right || y < top || y > bottom;
  }
  return false;
};
const range = document.createRange();
for (const element of visible) {
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  if (!isControl(element) && !hasText(element)) continue;
  const isField = element.matches("input, select, textarea");
  range.selectNodeContents(element);
  const around = cutBy(element, hasText(element) ? range.getBoundingClientRect() : box);
  if (around) problems.push(`${name(element)} is cut off by ${name(around)}, or has to be scrolled to sideways`);
  if (box.left < -0.5 || box.right > width + 0.5) problems.push(`${name(element)} is at ${box.left} to ${box.right} px, of ${width}`);
  if (isControl(element) && !isField && style.display !== "inline" && (box.width < 24 || box.height < 24)) {
    problems.push(`${name(element)} is too small to be hit: ${box.width} by ${box.height} px`);
  }
  // What people would hit in its middle is itself: nothing lies over it.
  element.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
  const spot = isControl(element) ? element.getBoundingClientRect() : range.getClientRects()[0];
  const [x, y] = [spot.left + spot.width / 2, spot.top + spot.height / 2];
  if (isLeftOut(element, x, y)) continue;
  const hit = document.elementFromPoint(x, y);
  if (!hit) problems.push(`${name(element)} can't be scrolled into view`);
  else if (!hit.contains(element) && !element.contains(hit)) problems.push(`${name(hit)} lies over ${name(element)}`);
}
scrollTo(0, 0);
return problems.slice(0, 20);
