// What gradio's page lacks: the address follows what is shown, arrow keys move between tabs, code can be copied.
const sx = {
  // Set the values of the address that are not empty, and take away the others that are named.
  link(values) {
    const address = new URL(window.location)
    for (const [name, value] of Object.entries(values)) {
      if (value) address.searchParams.set(name, value)
      else address.searchParams.delete(name)
    }
    window.history.replaceState(null, '', address)
  },
  rows([set, type, language, state, reason, text, page]) {
    sx.link({tab: 'data', view: '', id: '', set: set === 'revise' ? '' : set, type, language, state, reason, text, p: page > 1 ? page : ''})
  },
}
window.sx = sx

// The tab that a visitor chose stays, though the tab of the page's first address is answered later.
const chosen = new Map()
new MutationObserver(changes => {
  for (const {target} of changes) {
    const list = target.closest('[role=tablist]'), wanted = chosen.get(list)
    if (!wanted || target.ariaSelected !== 'true' || target.dataset.tabId === wanted) continue
    list.querySelector(`[role=tab][data-tab-id="${wanted}"]`)?.click()
  }
}).observe(document, {subtree: true, attributeFilter: ['aria-selected']})

document.addEventListener('click', event => {
  const tab = event.target.closest('[role=tab]')
  if (tab) {
    const name = tab.getAttribute('data-tab-id')
    chosen.set(tab.closest('[role=tablist]'), name)
    sx.link(tab.closest('#sx-data') ? {tab: 'data', view: name === 'rows' ? '' : name, id: ''} : {tab: name === 'generate' ? '' : name})
  }
  const copy = event.target.closest('.sx-copy')
  if (copy) {
    navigator.clipboard.writeText(copy.closest('.sx-card').querySelector('pre').innerText).then(() => {
      copy.innerText = 'Copied'
      setTimeout(() => { copy.innerText = 'Copy' }, 1500)
    })
  }
}, true)  // before gradio turns to the tab

document.addEventListener('keydown', event => {
  const tab = event.target.closest?.('[role=tab]')
  const step = {ArrowRight: 1, ArrowLeft: -1, Home: -99, End: 99}[event.key]
  if (!tab || !step) return
  event.preventDefault()
  const tabs = [...tab.closest('[role=tablist]').querySelectorAll('[role=tab]:not([disabled])')].filter(one => one.offsetParent)
  const at = tabs.indexOf(tab) + step
  const next = tabs[step === -99 ? 0 : step === 99 ? tabs.length - 1 : (at + tabs.length) % tabs.length]
  next.focus()
  next.click()
})

// A table that scrolls can be reached with the keyboard.
new MutationObserver(() => {
  for (const table of document.querySelectorAll('.virtual-table-viewport')) {
    const cell = table.querySelector('td, th, [role=gridcell], [role=columnheader]')
    if (cell && cell.tabIndex !== 0) cell.tabIndex = 0
  }
}).observe(document, {childList: true, subtree: true})
