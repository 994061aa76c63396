# SPDX-License-Identifier: GPL-2.0
"""How Sphinx makes HTML of these pages; scripts/check/docs runs it."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE / 'sphinx'))

project = 'rust_dmapool'
copyright = 'the rust_dmapool authors; GPL-2.0'

extensions = ['links', 'tables']
exclude_patterns = ['sphinx']
# Literal blocks are logs and commands, unless they say what they are.
highlight_language = 'none'

# As the kernel's documentation looks.
html_theme = 'alabaster'
html_theme_options = {
    'description': 'DMA pools for Linux drivers in Rust',
    'fixed_sidebar': 'true',
    'font_family': 'sans-serif',
    'page_width': '76em',
    'sidebar_width': '18em',
}
html_copy_source = False
html_show_sphinx = False
html_use_index = False
