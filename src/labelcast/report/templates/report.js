
"use strict";
(() => {
  const map = document.getElementById("heat");
  if (map) pairs(map, document.getElementById("pair"));

  const closed = () => document.querySelectorAll("details:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...closed()];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });

  function pairs(map, pair) {
    const order = map.dataset.order.trim().split(" ").map(Number);
    const cosines = map.dataset.cosines.trim().split(" ");
    const picture = map.querySelector("svg");
    const count = order.length;
    const side = picture.viewBox.baseVal.width / (count + 1);
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    let row = -1;
    let column = -1;
    mark.setAttribute("class", "chosen");
    mark.setAttribute("width", side);
    mark.setAttribute("height", side);

    const part = (name) => pair.querySelectorAll(`[data-pair=${name}]`);

    function show(newRow, newColumn) {
      const bound = (n) => Math.min(Math.max(n, 0), count - 1);
      if (bound(newRow) === row && bound(newColumn) === column) return;
      row = bound(newRow);
      column = bound(newColumn);
      mark.setAttribute("x", (column + 1) * side);
      mark.setAttribute("y", (row + 1) * side);
      picture.append(mark);
      part("cosine")[0].textContent = cosines[row * count + column];
      part("hint")[0].textContent = row === column ? "an example with itself" : "";
      [order[row], order[column]].forEach((number, place) => fill(number, place));
    }

    function fill(number, place) {
      const line = document.getElementById(`example-${number}`);
      const texts = line ? [...line.querySelectorAll("td.long")].map((cell) => cell.textContent) : [];
      part("number")[place].textContent = line ? number : "no longer labelled";
      part("text")[place].textContent = texts.join("\n");
      part("label")[place].textContent = line ? line.querySelector(".answer-cell").textContent : "";
    }

    function point(event) {
      const box = picture.getBoundingClientRect();
      const at = (offset, length) => Math.floor((offset / length) * (count + 1)) - 1;
      const newRow = at(event.clientY - box.top, box.height);
      const newColumn = at(event.clientX - box.left, box.width);
      if (newRow >= 0 && newColumn >= 0) show(newRow, newColumn);
    }

    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    map.addEventListener("pointermove", point);
    map.addEventListener("pointerdown", point);
    map.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      show(Math.max(row, 0) + move[0], Math.max(column, 0) + move[1]);
    });
    map.addEventListener("focus", () => {
      if (row < 0) show(0, Math.min(1, count - 1));
    });
  }
})();
