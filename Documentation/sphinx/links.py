# SPDX-License-Identifier: GPL-2.0
"""Makes links of what the pages say in a form that a git web page shows as well.

A link from page to page is `page.rst <page.rst>`_ in the source, because that can be followed there.
A literal that is a public item of the crate, or one of its files, becomes a link to the crate's
rustdoc, which is expected in the directory rustdoc/ beside the HTML pages.
"""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)

PAGE = re.compile(r'([\w-]+)\.rst(#.*)?$')
ITEM = re.compile(r'(\w+)(?:<[^>]*>)?(?:::(\w+)(?:\([^)]*\))?)?$')
SOURCE = re.compile(r'(?:dmapool/)?(\w+\.rs)$')


class Links(SphinxPostTransform):
    default_priority = 10

    def run(self, **kwargs):
        for node in list(self.document.findall(nodes.reference)):
            if found := PAGE.match(node.get('refuri', '')):
                self.link_page(node, *found.groups(default=''))
        for node in list(self.document.findall(nodes.literal)):
            if isinstance(node.parent, (nodes.title, nodes.reference)):
                continue
            if uri := self.item(node) or self.source(node):
                link = nodes.reference('', '', internal=True, refuri=f'rustdoc/{uri}')
                node.replace_self(link)
                link += node

    def link_page(self, node, page, anchor):
        if page not in self.env.found_docs:
            logger.warning('there is no page %s.rst', page, location=node)
        node['refuri'] = self.app.builder.get_relative_uri(self.env.docname, page) + anchor
        node['internal'] = True

    def item(self, node):
        """The page of a public item; a member that it does not have is a mistake."""
        found = ITEM.match(node.astext())
        pages = found and list(self.app.outdir.glob(f'rustdoc/rust_dmapool/*.{found[1]}.html'))
        if not pages:
            return None
        uri = f'rust_dmapool/{pages[0].name}'
        if not found[2]:
            return uri
        anchor = re.search(rf'id="(\w+\.{found[2]})"', pages[0].read_text(encoding='utf-8'))
        if not anchor:
            logger.warning('the crate has no %s', node.astext(), location=node)
        return anchor and f'{uri}#{anchor[1]}'

    def source(self, node):
        found = SOURCE.match(node.astext())
        for directory in ('', 'dmapool/'):
            uri = found and f'src/rust_dmapool/{directory}{found[1]}.html'
            if uri and (self.app.outdir / 'rustdoc' / uri).exists():
                return uri
        return None


def setup(app):
    app.add_post_transform(Links)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
