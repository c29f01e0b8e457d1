/* The last part: what happens once the page is there. */

// The style of what only a script makes. As a sheet made here it needs no
// exception from the page's policy.
const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

if (document.getElementById("listing")) {
  document.body.append(status, notices, panel, target);
  dress();
  checkRemembered();
}
