// Texts that are shown with less contrast to what is behind them than WCAG 2.2 asks for (success criterion 1.4.3), and
// how many were looked at. Behind a text is the nearest background that is not transparent.
() => {
  const parts = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = parts(colour).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const clear = (colour) => parts(colour)[3] === 0;
  const low = [];
  let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.textContent.trim(), element = walk.currentNode.parentElement;
    if (!text || !element.checkVisibility() || element.closest("script, style, noscript, option, :disabled")) continue;
    const style = getComputedStyle(element);
    let behind = element, opacity = 1;
    for (let up = element; up; up = up.parentElement) opacity *= Number(getComputedStyle(up).opacity);
    while (behind && clear(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
    const ground = behind ? getComputedStyle(behind).backgroundColor : "rgb(255, 255, 255)";
    const [dark, light] = [luminance(style.color), luminance(ground)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    seen++;
    if (opacity < 1 || (light + 0.05) / (dark + 0.05) < (large ? 3 : 4.5)) low.push(`${text.slice(0, 40)}: ${style.color} on ${ground}, ${opacity}`);
  }
  return { low, seen };
}
