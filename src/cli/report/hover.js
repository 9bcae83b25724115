for (const figure of document.querySelectorAll("figure[data-points]")) {
  const points = JSON.parse(figure.dataset.points);
  const [svg, text] = [figure.querySelector("svg"), figure.querySelector("output")];
  const cursor = svg.querySelector(".cursor");
  svg.addEventListener("pointermove", (event) => {
    const place = new DOMPoint(event.clientX, 0).matrixTransform(svg.getScreenCTM().inverse()).x;
    let near = points[0];
    for (const point of points) if (Math.abs(point[0] - place) < Math.abs(near[0] - place)) near = point;
    cursor.setAttribute("x1", near[0]);
    cursor.setAttribute("x2", near[0]);
    cursor.style.visibility = "visible";
    text.textContent = near[1];
  });
  svg.addEventListener("pointerleave", () => {
    cursor.style.visibility = "hidden";
    text.textContent = "";
  });
}
